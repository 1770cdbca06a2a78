package catalog

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"causeway/pkg/provider"
	"causeway/pkg/signature"
)

// ForeignSpec is a topic whose records causeway did not write, as people write it
// down in the process file.
type ForeignSpec struct {
	Name   string `json:"name" doc:"Name of the Kafka topic. causeway never makes it."`
	Format string `json:"format" enum:"json,raw,confluent-avro" doc:"What the values are: json; raw, delivered as they are; confluent-avro, Avro framed for the schema registry, delivered as JSON."`
	ID     string `json:"id,omitempty" doc:"Where the event's ID is: json:$.path, header:Name or key. Its place in Kafka when left out; only a named one tells copies."`
	Type   string `json:"type,omitempty" doc:"Where the event's type is: json:$.path, header:Name or key."`
	Start  string `json:"start,omitempty" enum:"earliest,latest" doc:"Where reading begins the first time; earliest when left out."`
}

// ForeignFormat is what the values of a foreign topic are.
type ForeignFormat uint8

const (
	// ForeignJSON is JSON; anything else is poison.
	ForeignJSON ForeignFormat = iota
	// ForeignRaw is whatever it is.
	ForeignRaw
	// ForeignConfluentAvro is Avro in Confluent's wire format.
	ForeignConfluentAvro
)

func (f ForeignFormat) String() string {
	return [...]string{"json", "raw", "confluent-avro"}[f]
}

// Foreign is a foreign topic ready for use. It is immutable.
type Foreign struct {
	Topic  string
	Format ForeignFormat
	ID     func(*ForeignRecord) string // nil: its place
	Type   func(*ForeignRecord) string // nil: none
	Latest bool                        // begin at the end
}

// ForeignRecord is what an ID or a type may be taken from.
type ForeignRecord struct {
	Key    []byte
	Header http.Header
	Body   []byte // as it is delivered
}

// ForeignTopic returns the declaration of a foreign topic, nil when it is none.
func (s *Snapshot) ForeignTopic(name string) *Foreign { return s.foreign[name] }

// WithForeign gives the snapshot with these foreign topics.
func (s *Snapshot) WithForeign(topics []*Foreign) *Snapshot {
	with := *s
	with.Foreign, with.foreign = topics, make(map[string]*Foreign, len(topics))
	for _, t := range topics {
		with.foreign[t.Topic] = t
	}
	return &with
}

func (p place) foreignTopic(spec ForeignSpec, sources []*Source) *Foreign {
	f := &Foreign{Topic: spec.Name, Latest: spec.Start == "latest"}
	switch {
	case !isTopic(spec.Name):
		p.fault("name", "%q is not a Kafka topic name: use 1 to 249 of a-z A-Z 0-9 . _ -", spec.Name)
	case p.reserved(spec.Name):
		p.fault("name", "%q is reserved: names that begin with %q or \"__\" belong to causeway and Kafka", spec.Name, p.Prefix)
	case slices.ContainsFunc(sources, func(s *Source) bool { return s.Topic == spec.Name }):
		p.fault("name", "%q is the topic of a source: causeway writes it", spec.Name)
	case p.names[spec.Name]:
		p.fault("name", "%q is declared twice", spec.Name)
	}
	p.names[spec.Name] = true
	switch spec.Format {
	case "json":
		f.Format = ForeignJSON
	case "raw":
		f.Format = ForeignRaw
	case "confluent-avro":
		f.Format = ForeignConfluentAvro
		if !p.Registry {
			p.fault("format", "confluent-avro needs a schema registry: name it in registry.urls")
		}
	default:
		p.fault("format", "%q is not a format of a foreign topic: want json, raw or confluent-avro", spec.Format)
	}
	if !slices.Contains([]string{"", "earliest", "latest"}, spec.Start) {
		p.fault("start", "%q is not a start: want earliest or latest", spec.Start)
	}
	f.ID, f.Type = p.foreignPick(spec.ID, "id"), p.foreignPick(spec.Type, "type")
	return f
}

// foreignPick is pick for records, which have a key and no query.
func (p place) foreignPick(text, key string) func(*ForeignRecord) string {
	switch {
	case text == "":
		return nil
	case text == "key":
		return func(r *ForeignRecord) string { return string(r.Key) }
	case !strings.HasPrefix(text, "json:") && !strings.HasPrefix(text, "header:"):
		p.fault(key, "%q is none of json:$.PATH, header:NAME, key", text)
		return nil
	}
	pick, err := provider.ParsePick(text)
	if err != nil {
		p.fault(key, "%v", err)
		return nil
	}
	return func(r *ForeignRecord) string {
		return pick(&signature.Message{Method: http.MethodPost, Header: r.Header, Body: r.Body})
	}
}

// foreignTopics checks and compiles the declarations.
func (b *builder) foreignTopics(sources []*Source) []*Foreign {
	b.names = map[string]bool{}
	var topics []*Foreign
	for i, spec := range b.Foreign {
		topics = append(topics, b.at("topics", strconv.Itoa(i)).foreignTopic(spec, sources))
	}
	return topics
}
