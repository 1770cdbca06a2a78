package catalog_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// Each partition that waits for a newer catalog asks for its end, and whoever reads a
// payload is noted, several at once: the metrics of their clients have one name each and
// must not meet.
func TestManyAskAndAreNotedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		topicIn(t, b)
		options := b.Options()
		options.Registerer = prometheus.NewRegistry()
		topic := catalog.NewTopic(catalog.TopicOptions{Topic: catalogTopic, Audit: auditTopic, Client: options.Base})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := topic.End(t.Context()); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := topic.Audit(t.Context(), catalog.AuditRecord{Who: "somebody", Action: "event.read"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}
