package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/secret"
)

func newCheck(c *common) *cobra.Command {
	ready, topics, acls := false, false, ""
	var principals []string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration, the secrets, Kafka and its topics; say all that is wrong at once",
		Args: func(cmd *cobra.Command, args []string) error {
			if acls != "" && len(args) > 0 {
				return fmt.Errorf("--acls takes its form with an equals sign: --acls=%s", printable(args[0], 64))
			}
			return cobra.NoArgs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case ready && topics, ready && acls != "", topics && acls != "":
				return usageError{"check", errors.New("--ready, --topics and --acls are three questions: give one of them")}
			case len(principals) > 0 && acls == "":
				return usageError{"check", errors.New("--principal says whom --acls is for: give --acls too")}
			case ready:
				return checkReady(cmd.Context(), c)
			case topics:
				return printTopics(c)
			case acls != "":
				return printACLs(c, acls, principals)
			}
			return runCheck(cmd.Context(), c)
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "only ask the process on this machine, at ops.listen, whether it is ready")
	cmd.Flags().BoolVar(&topics, "topics", false, "only print the topics that this configuration needs, with their settings; Kafka is not asked")
	cmd.Flags().StringVar(&acls, "acls", "", "only print the smallest ACLs for each verb; kafka: commands of kafka-acls.sh, iam: policies for Amazon MSK; Kafka is not asked")
	cmd.Flags().Lookup("acls").NoOptDefVal = aclsKafka
	cmd.Flags().StringArrayVar(&principals, "principal", nil, "with --acls, the user of a verb, like ingress=User:alice; once for each verb")
	return cmd
}

// runCheck goes on past whatever it finds wrong, as far as that makes sense.
func runCheck(ctx context.Context, c *common) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	p.config = p.config.withDefaults()
	resolver := secret.NewResolver()
	snapshot := p.build(catalog.Options{Resolver: resolver, ResolveSources: true, ResolveSubscriptions: true})
	traces := p.traces(os.Getenv, resolver)
	security := p.connection(resolver)
	p.listenerTLS("ingress", p.config.Ingress.TLS, resolver)
	for _, name := range p.unknown {
		fmt.Fprintf(c.stdout, "warning: %s\n", unknownVariable(name))
	}
	for _, text := range p.warnings {
		fmt.Fprintf(c.stdout, "warning: %s\n", text)
	}
	wrong := 0
	if err := p.err(); err != nil {
		fmt.Fprintln(c.stdout, err)
		wrong += len(p.document.faults)
	} else {
		if c.configPath == "" {
			fmt.Fprintln(c.stdout, "configuration: no process file: -c or CAUSEWAY_CONFIG names one")
		}
		fmt.Fprintf(c.stdout, "configuration: %s, %s, every secret resolved\n", counted(len(snapshot.Sources), "source"), counted(len(snapshot.Subscriptions), "subscription"))
		if traces != nil {
			fmt.Fprintf(c.stdout, "traces: to %s, which was not asked\n", traces.shown)
		}
	}
	wrong += checkRegistry(ctx, c, p.config.Registry, snapshot)
	switch {
	case len(p.config.Kafka.Brokers) == 0:
		fmt.Fprintln(c.stdout, "kafka: kafka.brokers names none, so only causeway dev can run, on its embedded broker")
	case p.faulty("kafka", "brokers"), p.faulty("kafka", "tls"), p.faulty("kafka", "sasl"):
		fmt.Fprintln(c.stdout, "kafka: not asked: its settings have to be mended first")
	default:
		wrong += checkKafka(ctx, c, p.config, security, snapshot)
	}
	if wrong > 0 {
		fmt.Fprintf(c.stdout, "%d wrong\n", wrong)
		return errReported
	}
	fmt.Fprintln(c.stdout, "nothing wrong")
	return nil
}

// printTopics prints the plan of a cluster of three brokers or more, for those who
// make topics themselves.
func printTopics(c *common) error {
	conf, snapshot, err := c.printed()
	if err != nil {
		return err
	}
	fmt.Fprint(c.stdout, kafka.Manifest(topicPlan(prepareOptions{config: conf.Kafka, current: func() *catalog.Snapshot { return snapshot }}, 3)))
	return nil
}

// counted writes 1 source, 2 sources.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// checkKafka goes the way to Kafka, looks around there, and returns how much is wrong.
func checkKafka(ctx context.Context, c *common, conf config, security connection, snapshot *catalog.Snapshot) int {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	say := func(format string, args ...any) int {
		fmt.Fprintf(c.stdout, "kafka: "+format+"\n", args...)
		return 1
	}
	clients := kafka.Options{Brokers: conf.Kafka.Brokers, ClientID: conf.Kafka.ClientID, TLS: security.tls, SASL: security.sasl, Logger: zap.NewNop()}
	reached, unreached := reach(ctx, clients)
	for _, fault := range unreached {
		say("%s", fault)
	}
	if len(reached.Brokers) == 0 {
		return len(unreached)
	}
	return len(unreached) + checkCluster(ctx, c, conf, clients, snapshot)
}

// checkCluster compares the topics of a cluster that can be reached with the plan.
func checkCluster(ctx context.Context, c *common, conf config, clients kafka.Options, snapshot *catalog.Snapshot) int {
	say := func(format string, args ...any) int {
		fmt.Fprintf(c.stdout, "kafka: "+format+"\n", args...)
		return 1
	}
	client, err := kgo.NewClient(clients.Base("check")...)
	if err != nil {
		return say("%v", err)
	}
	defer client.Close()
	found, err := describe(ctx, client)
	if err != nil {
		return say("%v", err)
	}
	fmt.Fprintf(c.stdout, "kafka: cluster %s, %d brokers\n", found.id, len(found.brokers))
	if snapshot == nil {
		fmt.Fprintln(c.stdout, "kafka: topics not compared: the configuration has to be mended first")
		return 0
	}
	plan := topicPlan(prepareOptions{config: conf.Kafka, current: func() *catalog.Snapshot { return snapshot }}, len(found.brokers))
	findings, err := kafka.Check(ctx, client, plan, kafka.CheckOptions{Use: kafka.Use{Ingress: true, Egress: true, Admin: true}, Allow: conf.Kafka.AllowUnsafe})
	if err != nil {
		return say("%v", err)
	}
	wrong := sayFindings(c.stdout, plan, findings, *conf.Kafka.Topics.Create)
	denied, err := kafka.Access(ctx, client, kafka.Needs(rights(conf.Kafka, snapshot)))
	if err != nil {
		return wrong + say("%v", err)
	}
	for _, n := range denied {
		// Only a warning: processes of one role may have a user of their own.
		say("warning: ACLs deny %s", n)
	}
	return wrong
}

// sayFindings prints what was found about topics and returns how much of it keeps
// a process from serving. Every topic has its own lines: each has its own command.
func sayFindings(out io.Writer, plan []kafka.Topic, findings []kafka.Finding, create bool) int {
	var missing []string
	wrong, odd := 0, map[string]bool{}
	for _, f := range findings {
		odd[f.Topic] = true
		if create && f.Found == kafka.Missing {
			missing = append(missing, f.Topic)
			continue
		}
		label := map[kafka.Verdict]string{
			kafka.Refuse: "", kafka.Warn: "warning: ", kafka.Unreadable: "warning: ", kafka.Accepted: "accepted by kafka.allow_unsafe: ",
		}[f.Verdict]
		fmt.Fprintf(out, "kafka: %s%s\n", label, f)
		if f.Verdict != kafka.Accepted {
			fmt.Fprintf(out, "       %s\n", f.Mend)
		}
		if f.Verdict == kafka.Refuse {
			wrong++
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(out, "kafka: to be created at start: %s\n", strings.Join(missing, ", "))
	}
	fmt.Fprintf(out, "kafka: %d topics, %d as planned\n", len(plan), len(plan)-len(odd))
	return wrong
}
