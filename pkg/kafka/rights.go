package kafka

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Right is one line of the table of what each verb has to be allowed in Kafka. What
// causeway check --acls prints, what check asks Kafka about ([Needs]) and what the
// tests on a real Kafka run under are made of the same table.
type Right struct {
	Verb       string
	Resource   kmsg.ACLResourceType
	Names      []ResourceName // as ACLs name what this is about; nil for the cluster
	There      []string       // the names that are known now
	Operations []kmsg.ACLOperation
	Why        string
	Only       string // whom or what it is for, where not everybody has to allow it
}

// ResourceName is a name in an ACL: one, or all that begin like it.
type ResourceName struct {
	Name     string
	Prefixed bool
}

// RightsOptions is what the rights depend on.
type RightsOptions struct {
	Prefix  string
	Tiers   []string // names of the delay tiers
	Sources []string // the topics of the sources
	Allow   []string // kafka.topics.allow
	Foreign []string // topics that causeway did not write, and reads
	Create  bool     // kafka.topics.create
}

// Rights is the table. DESCRIBE stands in it also where READ or WRITE imply it: that
// is Kafka's own authorizer, and others, like that of MSK, want it said.
func Rights(o RightsOptions) []Right {
	const (
		read, write, describe = kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe
		topic, group          = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup
		old                   = "brokers before 3.0"
	)
	look := []kmsg.ACLOperation{describe, kmsg.ACLOperationDescribeConfigs}
	keep := look // look after: compare, and make where causeway does that
	if o.Create {
		keep = append(slices.Clone(look), kmsg.ACLOperationCreate)
	}
	and := func(all []kmsg.ACLOperation, first ...kmsg.ACLOperation) []kmsg.ACLOperation {
		return append(first, all...)
	}
	idempotent := func(verb string) Right {
		return Right{Verb: verb, Resource: kmsg.ACLResourceTypeCluster, Operations: []kmsg.ACLOperation{kmsg.ACLOperationIdempotentWrite}, Why: "its producers are idempotent", Only: old}
	}
	own, delays, groups := o.own(), o.delays(), o.groups()
	sources := Right{Resource: topic, Names: o.sourceNames(), There: o.Sources}
	foreign := Right{Resource: topic, Names: literal(o.Foreign...), There: o.Foreign}
	catalog, dlq, attempts, audit := o.one("catalog"), o.one("dlq"), o.one("attempts"), o.one("audit")
	transaction := Right{Resource: kmsg.ACLResourceTypeTransactionalId, Names: catalog.Names}

	table := []Right{
		sources.to("ingress", "stores events", and(keep, write)...),
		catalog.to("ingress", "what people want", and(keep, read)...),
		idempotent("ingress"),

		sources.to("egress", "delivers events", and(look, read)...),
		foreign.to("egress", "delivers records of egress.topics", read, describe),
		catalog.to("egress", "what people want", and(keep, read)...),
		delays.to("egress", "deliveries that wait", and(keep, read, write)...),
		dlq.to("egress", "deliveries that are given up", and(keep, write)...),
		attempts.to("egress", "a record of each attempt", and(keep, write)...),
		groups.to("egress", "shares the partitions out, commits", read, describe),
		idempotent("egress"),

		catalog.to("admin", "writes what people want, and reads it back", read, write),
		audit.to("admin", "writes who did what", write),
		transaction.to("admin", "one change of the catalog at a time, all of it or nothing", write, describe),
		own.to("admin", "looks after every topic of causeway's own", keep...),
		sources.to("admin", "the topics of new sources, where events begin, lag", keep...),
		foreign.to("admin", "lag", describe),
		groups.to("admin", "lag", describe),
		idempotent("admin"),
	}
	for _, r := range []Right{sources, foreign, delays, dlq, attempts} {
		table = append(table, r.to("tail", "prints records; not the catalog's, nor the audit's", read, describe))
	}
	for _, r := range []Right{sources, foreign, own} {
		table = append(table, r.to("topic", "lists and describes", look...))
	}
	table = append(table,
		Right{Verb: "topic", Resource: kmsg.ACLResourceTypeCluster, Operations: []kmsg.ACLOperation{describe}, Why: "how large topics are", Only: "the sizes"},
		sources.to("check", "compares topics with the plan", look...),
		own.to("check", "compares topics with the plan", look...),
	)
	// A file without foreign topics leaves lines that are about nothing.
	return slices.DeleteFunc(table, func(r Right) bool { return r.Resource != kmsg.ACLResourceTypeCluster && len(r.Names) == 0 })
}

func (r Right) to(verb, why string, operations ...kmsg.ACLOperation) Right {
	r.Verb, r.Why, r.Operations = verb, why, operations
	return r
}

func literal(names ...string) []ResourceName {
	var all []ResourceName
	for _, name := range names {
		all = append(all, ResourceName{Name: name})
	}
	return all
}

func (o RightsOptions) one(name string) Right {
	return Right{Resource: kmsg.ACLResourceTypeTopic, Names: literal(o.Prefix + name), There: []string{o.Prefix + name}}
}

func (o RightsOptions) own() Right {
	return Right{Resource: kmsg.ACLResourceTypeTopic, Names: []ResourceName{{o.Prefix, true}}}
}

func (o RightsOptions) delays() Right {
	r := Right{Resource: kmsg.ACLResourceTypeTopic, Names: []ResourceName{{o.Prefix + "delay.", true}}}
	for _, tier := range o.Tiers {
		r.There = append(r.There, o.Prefix+"delay."+tier)
	}
	return r
}

func (o RightsOptions) groups() Right {
	return Right{
		Resource: kmsg.ACLResourceTypeGroup, Names: []ResourceName{{o.Prefix, true}},
		There: []string{o.Prefix + "egress", o.Prefix + "delay"},
	}
}

// sourceNames are the topics of sources as ACLs name them: by kafka.topics.allow, so
// that a source that is added tomorrow needs no new ACL, unless ByName.
func (o RightsOptions) sourceNames() []ResourceName {
	if o.ByName() != "" {
		topics := slices.Compact(slices.Sorted(slices.Values(o.Sources)))
		return literal(topics...)
	}
	var all []ResourceName
	for _, pattern := range o.Allow {
		name, prefixed := strings.CutSuffix(pattern, "*")
		all = append(all, ResourceName{name, prefixed})
	}
	return all
}

// ByName says which pattern of kafka.topics.allow is no use for ACLs, so that they
// name each source's topic instead; empty: none.
func (o RightsOptions) ByName() string {
	for _, pattern := range o.Allow {
		name, prefixed := strings.CutSuffix(pattern, "*")
		if strings.ContainsAny(name, `*?[\`) {
			return pattern
		}
		// Who may write to every topic that begins so may write to causeway's own, or Kafka's.
		for _, reserved := range []string{o.Prefix, "__"} {
			if prefixed && (strings.HasPrefix(reserved, name) || strings.HasPrefix(name, reserved)) {
				return pattern
			}
		}
	}
	return ""
}

// Needs are the rights without which a part of causeway stands still, as far as Kafka
// can be asked about them: to read and write topics that are known, and to be in the
// groups.
func Needs(rights []Right) []Need {
	var needs []Need
	for _, r := range rights {
		if !slices.Contains([]string{"ingress", "egress", "admin"}, r.Verb) {
			continue
		}
		for _, name := range r.There {
			for _, op := range r.Operations {
				if op != kmsg.ACLOperationRead && op != kmsg.ACLOperationWrite {
					continue
				}
				n := Need{Operation: op, Who: r.Verb}
				if r.Resource == kmsg.ACLResourceTypeGroup {
					n.Group = name
				} else {
					n.Topic = name
				}
				needs = append(needs, n)
			}
		}
	}
	return needs
}
