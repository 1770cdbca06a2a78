package catalog_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
	"causeway/schemas"
)

const goodSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func options() catalog.Options {
	return catalog.Options{
		Resolver: secret.NewResolver(), Prefix: "causeway.", AllowTopics: []string{"webhooks.*"},
		ResolveSources: true, ResolveSubscriptions: true,
	}
}

func source() catalog.SourceSpec {
	return catalog.SourceSpec{Name: "stripe", Provider: "stripe", Secrets: []string{"env:CATALOG_TEST"}}
}

func subscription() catalog.SubscriptionSpec {
	return catalog.SubscriptionSpec{Name: "billing", Topics: []string{"webhooks.stripe"}, URL: "https://example.com/hook", Secrets: []string{"env:CATALOG_TEST"}}
}

func TestBuildNamesEachFaultAtItsPlace(t *testing.T) {
	t.Setenv("CATALOG_TEST", goodSecret)
	t.Setenv("CATALOG_SHORT", "whsec_c2hvcnQ=")
	t.Setenv("CATALOG_EMPTY", "")
	t.Setenv("CATALOG_PUBLIC", "whpk_"+strings.Repeat("A", 43)+"=")
	for name, tc := range map[string]struct {
		source       func(*catalog.SourceSpec)
		subscription func(*catalog.SubscriptionSpec)
		path, text   string
	}{
		"a name that is no name":      {source: func(s *catalog.SourceSpec) { s.Name = "Not A Name" }, path: "sources.0.name", text: "is not a name"},
		"a topic of causeway's own":   {source: func(s *catalog.SourceSpec) { s.Topic = "causeway.dlq" }, path: "sources.0.topic", text: "reserved"},
		"a topic of Kafka's own":      {source: func(s *catalog.SourceSpec) { s.Topic = "__consumer_offsets" }, path: "sources.0.topic", text: "reserved"},
		"a topic that is not allowed": {source: func(s *catalog.SourceSpec) { s.Topic = "orders" }, path: "sources.0.topic", text: "kafka.topics.allow has webhooks.*"},
		"a topic that Kafka refuses":  {source: func(s *catalog.SourceSpec) { s.Topic = "webhooks.a b" }, path: "sources.0.topic", text: "is not a Kafka topic name"},
		"an unknown provider":         {source: func(s *catalog.SourceSpec) { s.Provider = "strype" }, path: "sources.0.provider", text: "strype"},
		"an algorithm that is none": {source: func(s *catalog.SourceSpec) {
			s.Provider = "hmac"
			s.HMAC = &provider.HMAC{Header: "X-Signature", Algorithm: "md5"}
		}, path: "sources.0.hmac.algorithm", text: "md5"},
		"no secret at all":                      {source: func(s *catalog.SourceSpec) { s.Secrets = nil }, path: "sources.0.secrets", text: "no secret"},
		"a secret in the file itself":           {source: func(s *catalog.SourceSpec) { s.Secrets = []string{"whsec_abc"} }, path: "sources.0.secrets.0", text: "env:"},
		"a variable that is not set":            {source: func(s *catalog.SourceSpec) { s.Secrets = []string{"env:CATALOG_NONE"} }, path: "sources.0.secrets.0", text: "CATALOG_NONE"},
		"a variable that is empty":              {source: func(s *catalog.SourceSpec) { s.Secrets = []string{"env:CATALOG_EMPTY"} }, path: "sources.0.secrets.0", text: "CATALOG_EMPTY"},
		"a network that is none":                {source: func(s *catalog.SourceSpec) { s.AllowCIDRs = []string{"10.0.0.0/8", "10.0.0/8"} }, path: "sources.0.allow_cidrs.1", text: "is not a network"},
		"a format that is none":                 {source: func(s *catalog.SourceSpec) { s.Format = "xml" }, path: "sources.0.format", text: "xml"},
		"a key rule that is none":               {source: func(s *catalog.SourceSpec) { s.Key = "body:x" }, path: "sources.0.key", text: "json:$.PATH"},
		"a subscription without topics":         {subscription: func(s *catalog.SubscriptionSpec) { s.Topics = nil }, path: "subscriptions.0.topics", text: "nothing to deliver"},
		"a topic of no source":                  {subscription: func(s *catalog.SubscriptionSpec) { s.Topics = []string{"webhooks.other"} }, path: "subscriptions.0.topics.0", text: "is the topic of no source"},
		"a star in the middle":                  {subscription: func(s *catalog.SubscriptionSpec) { s.Topics = []string{"web*.stripe"} }, path: "subscriptions.0.topics.0", text: "only at its end"},
		"a type prefix that ends within a word": {subscription: func(s *catalog.SubscriptionSpec) { s.Types = []string{"inv*"} }, path: "subscriptions.0.types.0", text: "after a dot"},
		"a source that is not there":            {subscription: func(s *catalog.SubscriptionSpec) { s.Sources = []string{"github"} }, path: "subscriptions.0.sources.0", text: `no source "github"`},
		"plain http":                            {subscription: func(s *catalog.SubscriptionSpec) { s.URL = "http://example.com" }, path: "subscriptions.0.url", text: "http"},
		"credentials in the URL":                {subscription: func(s *catalog.SubscriptionSpec) { s.URL = "https://user:pass@example.com" }, path: "subscriptions.0.url", text: "user"},
		"a secret of under 16 bytes":            {subscription: func(s *catalog.SubscriptionSpec) { s.Secrets = []string{"env:CATALOG_SHORT"} }, path: "subscriptions.0.secrets.0", text: "16"},
		"a public key to sign with":             {subscription: func(s *catalog.SubscriptionSpec) { s.Secrets = []string{"env:CATALOG_PUBLIC"} }, path: "subscriptions.0.secrets.0", text: "private"},
		"a timeout that is too long":            {subscription: func(s *catalog.SubscriptionSpec) { s.Timeout = catalog.Duration(time.Hour) }, path: "subscriptions.0.timeout", text: "out of range"},
		"a retry step that is too long": {subscription: func(s *catalog.SubscriptionSpec) {
			s.Retry.Schedule = []catalog.Duration{catalog.Duration(48 * time.Hour)}
		}, path: "subscriptions.0.retry.schedule.0", text: "out of range"},
		"a status that never fails under never_on": {subscription: func(s *catalog.SubscriptionSpec) { s.Retry.NeverOn = []int{200} }, path: "subscriptions.0.retry.never_on.0", text: "300 to 599"},
	} {
		t.Run(name, func(t *testing.T) {
			src, sub := source(), subscription()
			if tc.source != nil {
				tc.source(&src)
			}
			subs := []catalog.SubscriptionSpec{sub}
			if tc.subscription != nil {
				tc.subscription(&subs[0])
			} else {
				subs = nil
			}
			snapshot, faults := catalog.Build([]catalog.SourceSpec{src}, subs, options())
			if snapshot != nil || len(faults) != 1 {
				t.Fatalf("snapshot %v, faults %v: want one fault", snapshot != nil, faults)
			}
			if got := strings.Join(faults[0].Path, "."); got != tc.path || !strings.Contains(faults[0].Text, tc.text) {
				t.Errorf("fault %q: %q, want %q: ...%s...", got, faults[0].Text, tc.path, tc.text)
			}
			for _, value := range []string{goodSecret, "whsec_c2hvcnQ=", "user:pass"} {
				if strings.Contains(faults[0].Text, value) {
					t.Errorf("the fault shows a secret: %s", faults[0].Text)
				}
			}
		})
	}
}

func TestBuildSaysAllFaultsAtOnce(t *testing.T) {
	src, other, sub := source(), source(), subscription()
	src.Topic, other.Provider, sub.URL = "causeway.x", "nobody", "ftp://x"
	_, faults := catalog.Build([]catalog.SourceSpec{src, other}, []catalog.SubscriptionSpec{sub}, options())
	var places []string
	for _, f := range faults {
		places = append(places, strings.Join(f.Path, "."))
	}
	for _, want := range []string{"sources.0.topic", "sources.0.secrets.0", "sources.1.name", "sources.1.provider", "subscriptions.0.url", "subscriptions.0.secrets.0"} {
		if !slices.Contains(places, want) {
			t.Errorf("no fault at %s: %v", want, places)
		}
	}
}

func TestBuildFillsInWhatIsLeftOut(t *testing.T) {
	t.Setenv("CATALOG_TEST", goodSecret)
	src, sub := source(), subscription()
	src.Headers = []string{"X-Extra", "Stripe-Signature", "Authorization"}
	snapshot, faults := catalog.Build([]catalog.SourceSpec{src}, []catalog.SubscriptionSpec{sub}, options())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	live := snapshot.Source("stripe")
	if live.Topic != "webhooks.stripe" || live.MaxBody != 1<<20 || live.Format != schemas.Raw {
		t.Errorf("source: topic %s, body %d, format %s", live.Topic, live.MaxBody, live.Format)
	}
	if !slices.Contains(live.Headers, "x-extra") || slices.Contains(live.Headers, "stripe-signature") || slices.Contains(live.Headers, "authorization") {
		t.Errorf("stored headers %v: want x-extra and none that authenticates", live.Headers)
	}
	wanted := snapshot.Subscription(catalog.UID("subscription", "billing"))
	if wanted == nil || wanted.Timeout != 15*time.Second || wanted.MaxConcurrency != 64 || len(wanted.Schedule) != 9 || !wanted.CaptureResponse {
		t.Errorf("subscription: %+v", wanted)
	}
}

func TestSubscriptionBySourcesReadsTheirTopics(t *testing.T) {
	t.Setenv("CATALOG_TEST", goodSecret)
	sub := subscription()
	sub.Topics, sub.Sources = nil, []string{"stripe"}
	snapshot, faults := catalog.Build([]catalog.SourceSpec{source()}, []catalog.SubscriptionSpec{sub}, options())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if got := snapshot.Subscriptions[0].Topics; !slices.Equal(got, []string{"webhooks.stripe"}) {
		t.Errorf("topics %v", got)
	}
}

func TestARoleReadsOnlyTheSecretsItUses(t *testing.T) {
	o := options()
	o.ResolveSources, o.ResolveSubscriptions = false, false
	if _, faults := catalog.Build([]catalog.SourceSpec{source()}, []catalog.SubscriptionSpec{subscription()}, o); len(faults) > 0 {
		t.Errorf("secrets that nobody uses were asked for: %v", faults)
	}
}

// A file secret is rotated in place: both keys are live while both files are
// there, and one that is gone does not close the door.
func TestKeysFollowTheirFiles(t *testing.T) {
	dir := t.TempDir()
	oldFile, newFile := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	for _, f := range []string{oldFile, newFile} {
		if err := os.WriteFile(f, []byte("whsec_"+filepath.Base(f)+"_0123456789abcdef"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := source()
	src.Secrets = []string{"file:" + oldFile, "file:" + newFile}
	snapshot, faults := catalog.Build([]catalog.SourceSpec{src}, nil, options())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	live := snapshot.Source("stripe")
	first, err := live.Keys()
	if err != nil || len(first) != 2 {
		t.Fatalf("%d keys, %v", len(first), err)
	}
	prov, err := provider.New("stripe", provider.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		m := &signature.Message{Method: http.MethodPost, Header: http.Header{}, Body: []byte(`{"id":"evt_1"}`)}
		if err := prov.Sign(m, first[i:i+1], time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := live.Provider.Verify(m, first, time.Now()); err != nil {
			t.Errorf("signed with key %d: %v", i, err)
		}
	}
}

func TestUIDsAreStable(t *testing.T) {
	if got := catalog.UID("subscription", "billing").String(); got != "fc2f5707-5498-5d39-853b-251fac532a19" {
		t.Errorf("UID %s: records in Kafka name subscriptions by it, it must never change", got)
	}
	if catalog.UID("source", "billing") == catalog.UID("subscription", "billing") {
		t.Error("a source and a subscription of one name share a UID")
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]catalog.Size{"0": 0, "1": 1, "64KiB": 64 << 10, "1MiB": 1 << 20, "2 GiB": 2 << 30, "5MB": 5e6} {
		var got catalog.Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("size %q = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5MiB", "MiB", "99999999999TiB", "1Mi"} {
		if err := new(catalog.Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("size %q was accepted", text)
		}
	}
	for text, want := range map[string]catalog.Rate{"500/s": 500, "30/m": 0.5, "3600/h": 1} {
		var got catalog.Rate
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("rate %q = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "500", "0/s", "-1/s", "NaN/s", "5/d", "Inf/s"} {
		if err := new(catalog.Rate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("rate %q was accepted", text)
		}
	}
	if err := new(catalog.Duration).UnmarshalText([]byte("15")); err == nil {
		t.Error("a duration without a unit was accepted")
	}
}
