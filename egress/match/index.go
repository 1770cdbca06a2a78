// Package match finds the subscriptions of an event by index: topic, then
// tenant, then type. How many subscriptions there are costs nothing as long as
// few of them match.
package match

import (
	"slices"
	"strings"
	"sync"

	"causeway/pkg/catalog"
)

// Key is what subscriptions select by.
type Key struct{ Topic, Source, Tenant, Type string }

// Index is built once for a snapshot. It is safe for concurrent use.
type Index struct {
	subscriptions []*catalog.Subscription
	topics        sync.Map // topic -> *topicIndex, made when the topic is first seen
}

// New indexes the subscriptions of a snapshot.
func New(snapshot *catalog.Snapshot) *Index {
	return &Index{subscriptions: snapshot.Subscriptions}
}

// topicIndex holds the subscriptions to one topic by tenant; "" has those that
// take every tenant.
type topicIndex struct {
	tenants map[string]*typeIndex
	all     []*catalog.Subscription
}

type typeIndex struct {
	every    []*catalog.Subscription            // no type named
	exact    map[string][]*catalog.Subscription // invoice.paid
	prefixes map[string][]*catalog.Subscription // "invoice." of invoice.*
}

// Match returns the subscriptions that want the event, each once.
func (x *Index) Match(k Key) []*catalog.Subscription {
	ti := x.topic(k.Topic)
	found := ti.tenants[""].match(nil, k)
	if k.Tenant != "" {
		found = ti.tenants[k.Tenant].match(found, k)
	}
	return found
}

// Subscribed returns all subscriptions to a topic, whatever else they select by.
func (x *Index) Subscribed(topic string) []*catalog.Subscription { return x.topic(topic).all }

func (x *Index) topic(topic string) *topicIndex {
	if ti, ok := x.topics.Load(topic); ok {
		return ti.(*topicIndex)
	}
	ti := &topicIndex{tenants: map[string]*typeIndex{}}
	for _, sub := range x.subscriptions {
		// What a tenant was allowed when the subscription was written does not count, but
		// what he is allowed now.
		if sub.Owner != nil && !sub.Owner.AllowsTopic(topic) {
			continue
		}
		if slices.ContainsFunc(sub.Topics, func(p string) bool { return catalog.Matches(p, topic) }) {
			ti.add(sub)
		}
	}
	actual, _ := x.topics.LoadOrStore(topic, ti)
	return actual.(*topicIndex)
}

func (ti *topicIndex) add(sub *catalog.Subscription) {
	ti.all = append(ti.all, sub)
	types := ti.tenants[sub.Tenant]
	if types == nil {
		types = &typeIndex{exact: map[string][]*catalog.Subscription{}, prefixes: map[string][]*catalog.Subscription{}}
		ti.tenants[sub.Tenant] = types
	}
	if len(sub.Types) == 0 {
		types.every = append(types.every, sub)
	}
	for _, pattern := range sub.Types {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			types.prefixes[prefix] = append(types.prefixes[prefix], sub)
		} else {
			types.exact[pattern] = append(types.exact[pattern], sub)
		}
	}
}

func (t *typeIndex) match(found []*catalog.Subscription, k Key) []*catalog.Subscription {
	if t == nil {
		return found
	}
	found = appendNew(found, t.every, k)
	found = appendNew(found, t.exact[k.Type], k)
	if len(t.prefixes) == 0 {
		return found
	}
	found = appendNew(found, t.prefixes[""], k)
	for i := range len(k.Type) {
		if k.Type[i] == '.' {
			found = appendNew(found, t.prefixes[k.Type[:i+1]], k)
		}
	}
	return found
}

// appendNew adds those that want the source, and may have it, and are not in found yet: two
// patterns of one subscription may hold for the same type.
func appendNew(found, more []*catalog.Subscription, k Key) []*catalog.Subscription {
	for _, sub := range more {
		if len(sub.Sources) > 0 && !slices.Contains(sub.Sources, k.Source) {
			continue
		}
		if sub.Owner != nil && !sub.Owner.Allows(k.Topic, k.Source) {
			continue
		}
		if len(sub.Types) > 1 && slices.Contains(found, sub) {
			continue
		}
		found = append(found, sub)
	}
	return found
}
