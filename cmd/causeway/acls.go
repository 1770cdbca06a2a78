package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
)

// rights is what each verb has to be allowed in Kafka with this configuration.
func rights(conf kafkaConfig, snapshot *catalog.Snapshot) []kafka.Right {
	return kafka.Rights(rightsOptions(conf, snapshot))
}

func rightsOptions(conf kafkaConfig, snapshot *catalog.Snapshot) kafka.RightsOptions {
	o := kafka.RightsOptions{
		Prefix: conf.Prefix, Tiers: delay.Names(), Sources: snapshot.Topics(),
		Allow: conf.Topics.Allow, Create: *conf.Topics.Create,
	}
	for _, f := range snapshot.Foreign {
		o.Foreign = append(o.Foreign, f.Topic)
	}
	return o
}

// The forms of check --acls.
const (
	aclsKafka = "kafka"
	aclsIAM   = "iam"
)

// printed is the configuration as far as the texts need it that are made of it alone:
// no secret is resolved and nobody is asked.
func (c *common) printed() (config, *catalog.Snapshot, error) {
	p, err := c.load()
	if err != nil {
		return config{}, nil, err
	}
	snapshot := p.build(catalog.Options{})
	return p.config.withDefaults(), snapshot, p.err()
}

// printACLs prints the smallest ACLs for each verb.
func printACLs(c *common, form string, principals []string) error {
	users, err := aclUsers(principals)
	if err != nil {
		return usageError{"check", err}
	}
	conf, snapshot, err := c.printed()
	if err != nil {
		return err
	}
	o := rightsOptions(conf.Kafka, snapshot)
	if pattern := o.ByName(); pattern != "" {
		fmt.Fprintf(c.stderr, "kafka.topics.allow has %q, which is no plain prefix apart from causeway's own topics: sources' topics are named one by one, and a new source needs new ACLs\n", pattern)
	}
	switch form {
	case aclsKafka:
		writeACLs(c.stdout, kafka.Rights(o), users, conf.Kafka.Brokers)
		return nil
	case aclsIAM:
		if len(principals) > 0 {
			return usageError{"check", fmt.Errorf("--principal is for --acls=kafka: an IAM policy holds for whoever it is attached to")}
		}
		fmt.Fprintln(c.stderr, "put your own in for REGION, ACCOUNT, CLUSTER_NAME and CLUSTER_UUID (they are in the cluster's ARN), and attach each policy to the role of that verb")
		policies, err := kafka.Policies(kafka.Rights(o))
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(policies, "", "  ")
		if err != nil {
			return fmt.Errorf("write the policies: %w", err)
		}
		fmt.Fprintf(c.stdout, "%s\n", text)
		return nil
	}
	return usageError{"check", fmt.Errorf("--acls=%s: write --acls=%s for kafka-acls.sh, or --acls=%s for Amazon MSK", printable(form, 64), aclsKafka, aclsIAM)}
}

// aclVerbs are the verbs that need ACLs, in the order in which they are printed.
func aclVerbs() []string { return []string{"ingress", "egress", "admin", "tail", "topic", "check"} }

// aclUsers are the principals of the verbs, VERB=TYPE:NAME where somebody named one.
func aclUsers(principals []string) (map[string]string, error) {
	users := map[string]string{}
	for _, verb := range aclVerbs() {
		users[verb] = "User:causeway-" + verb
	}
	for _, text := range principals {
		verb, user, ok := strings.Cut(text, "=")
		kind, name, typed := strings.Cut(user, ":")
		switch {
		case !ok || users[verb] == "":
			return nil, fmt.Errorf("--principal %s: write it like ingress=User:alice, for one of %s", printable(text, 200), strings.Join(aclVerbs(), ", "))
		case !typed || kind == "" || name == "" || name == "*" || printable(user, len(user)) != user:
			return nil, fmt.Errorf("--principal %s: %q is no principal of one user: write it like User:alice, or User:CN=alice,O=example for the subject of a certificate", printable(text, 200), printable(user, 200))
		}
		users[verb] = user
	}
	return users, nil
}

// writeACLs prints the rights as commands of kafka-acls.sh.
func writeACLs(w io.Writer, rights []kafka.Right, users map[string]string, brokers []string) {
	server := quote(strings.Join(brokers, ","))
	if len(brokers) == 0 {
		server = `"$BROKERS"` // for the shell to fill in
	}
	fmt.Fprint(w, `# The smallest ACLs of each verb, for a user of its own; --principal VERB=TYPE:NAME names it.
# Run this as somebody who may alter the ACLs of the cluster, with --command-config where the
# brokers ask who that is. It allows and denies nothing: what nobody allows is denied, unless
# the brokers have allow.everyone.if.no.acl.found=true.
`)
	for _, verb := range aclVerbs() {
		fmt.Fprintf(w, "\n# causeway %s\n", verb)
		said := ""
		for _, r := range rights {
			if r.Verb != verb {
				continue
			}
			why := "# " + r.Why
			if r.Only != "" {
				why += "; needed only for " + r.Only
			}
			if why != said {
				fmt.Fprintln(w, why)
				said = why
			}
			for _, resource := range aclResources(r) {
				line := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal %s", server, quote(users[verb]))
				for _, op := range r.Operations {
					line += " --operation " + aclOperation(op)
				}
				line += " " + resource
				if r.Only != "" {
					line = "# " + line
				}
				fmt.Fprintln(w, line)
			}
		}
	}
}

// aclResources are the arguments that name what a right is about.
func aclResources(r kafka.Right) []string {
	flag := map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: "--topic", kmsg.ACLResourceTypeGroup: "--group",
		kmsg.ACLResourceTypeTransactionalId: "--transactional-id", kmsg.ACLResourceTypeCluster: "--cluster",
	}[r.Resource]
	if r.Resource == kmsg.ACLResourceTypeCluster {
		return []string{flag}
	}
	var all []string
	for _, name := range r.Names {
		text := flag + " " + quote(name.Name)
		if name.Prefixed {
			text += " --resource-pattern-type prefixed"
		}
		all = append(all, text)
	}
	return all
}

// aclOperation is the operation as kafka-acls.sh spells it: DescribeConfigs.
func aclOperation(op kmsg.ACLOperation) string {
	var b strings.Builder
	for word := range strings.SplitSeq(op.String(), "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}
