package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Set is all that one file wants there to be: the entries of causeway apply, or of the
// process file of causeway dev.
type Set struct {
	Name          string
	Sources       []SourceSpec
	Subscriptions []SubscriptionSpec
	Tenants       []TenantSpec
	// Prune removes what belongs to the set and is not in it any more. A set without a
	// name has nothing of its own, and removes nothing.
	Prune bool
}

// Plan works out what makes the catalog hold the set: its entries, by kind, owner and
// name, are made, changed or left alone. A change keeps what is not the file's: the
// uid, a pause, where deliveries begin, which secrets retire. What somebody else
// made, by hand or in another set, is a conflict, and then there are no Changes.
//
// The changes still have to be Checked, and to Begin.
func (s *State) Plan(set Set, by string, now time.Time) (Changes, []Difference) {
	p := &plan{state: s, set: set.Name, by: by, now: now.UTC(), kept: map[string]bool{}, names: map[nameKey]bool{}}
	for _, spec := range set.Tenants {
		p.want(KindTenant, "", spec.Name, spec)
	}
	for _, spec := range set.Sources {
		owner := spec.Owner
		spec.Owner = "" // the entry has it
		p.want(KindSource, owner, spec.Name, spec)
	}
	for _, spec := range set.Subscriptions {
		owner := spec.Owner
		spec.Owner = ""
		p.want(KindSubscription, owner, spec.Name, spec)
	}
	if set.Prune && set.Name != "" {
		for _, kind := range []Kind{KindSubscription, KindSource, KindTenant} {
			for _, e := range s.Sorted(kind) {
				if e.Set == set.Name && !p.kept[e.Key()] {
					p.changes.Remove = append(p.changes.Remove, e)
					p.differences = append(p.differences, Compare(e, nil))
				}
			}
		}
	}
	if p.conflict {
		return Changes{}, p.differences
	}
	return p.changes, p.differences
}

type plan struct {
	state   *State
	set, by string
	now     time.Time

	changes     Changes
	differences []Difference
	conflict    bool
	kept        map[string]bool // keys of the entries that stay
	names       map[nameKey]bool
}

// want plans one entry of the set.
func (p *plan) want(kind Kind, owner, name string, spec any) {
	room := roomOf(&Entry{Kind: kind, Tenant: owner, Name: name})
	if p.names[room] {
		p.refuse(kind, owner, name, "", "the set has it twice: names must be unique")
		return
	}
	p.names[room] = true
	old := p.state.Named(kind, owner, name)
	if old == nil {
		p.add(kind, owner, name, spec)
		return
	}
	p.kept[old.Key()] = true
	switch {
	case old.newer:
		p.refuse(kind, owner, name, old.UID, "a newer release wrote it: update this one to change it")
		return
	case old.Set != p.set && old.Set == "":
		p.refuse(kind, owner, name, old.UID, "it was made by hand: remove it, or take it out of the set")
		return
	case old.Set != p.set:
		p.refuse(kind, owner, name, old.UID, fmt.Sprintf("it belongs to the set %q: remove it there first", old.Set))
		return
	case old.Tenant != owner:
		p.refuse(kind, owner, name, old.UID, fmt.Sprintf("it belongs to %s, and an owner stays: remove it first", ownerText(old.Tenant)))
		return
	}
	if written, err := json.Marshal(spec); err == nil && bytes.Equal(written, old.Spec) {
		return // nearly all of them
	}
	e := old.Copy()
	if err := e.SetSpec(spec); err != nil {
		p.refuse(kind, owner, name, old.UID, fmt.Sprintf("what the catalog has under that name cannot be read: %v", err))
		return
	}
	e.Changed, e.By = p.now, p.by
	e.dropRetired()
	d := Compare(old, e)
	if len(d.Fields) == 0 {
		return // written differently, and the same
	}
	p.changes.Put = append(p.changes.Put, e)
	p.differences = append(p.differences, d)
}

// add plans an entry that is not there. In a catalog that was never written, what was
// parked under the process file's uids finds its subscription again.
func (p *plan) add(kind Kind, owner, name string, spec any) {
	e := &Entry{
		Kind: kind, UID: NewUID(), Name: name, Tenant: owner, Set: p.set,
		Created: p.now, Changed: p.now, By: p.by,
	}
	switch {
	case kind == KindTenant:
		e.UID = name
	case p.state.Unwritten() && owner == "": // the process file knew no owners
		e.UID = UID(string(kind), name).String()
	}
	if err := e.SetSpec(spec); err != nil {
		p.refuse(kind, owner, name, "", err.Error())
		return
	}
	p.changes.Put = append(p.changes.Put, e)
	p.differences = append(p.differences, Compare(nil, e))
}

func (p *plan) refuse(kind Kind, owner, name, uid, text string) {
	p.conflict = true
	p.differences = append(p.differences, Difference{Kind: kind, Name: name, Tenant: owner, UID: uid, Action: ActionConflict, Text: text})
}

func ownerText(tenant string) string {
	if tenant == "" {
		return "the operator"
	}
	return fmt.Sprintf("the tenant %q", tenant)
}
