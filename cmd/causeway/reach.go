package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"causeway/pkg/health"
	"causeway/pkg/kafka"
)

// reachEvery is the pause between two tries to reach a Kafka that is not there.
const reachEvery = 2 * time.Second

// awaitKafka waits until one of the bootstrap brokers lets this process in. What is
// in the way may go away by itself: a broker starts, a password is mended, a
// certificate renewed. So it keeps trying, and says the same thing once.
func awaitKafka(ctx context.Context, clients kafka.Options, ready *health.Handle, log *zap.Logger) bool {
	said := ""
	for {
		reached, errs := clients.Probe(ctx)
		if ctx.Err() != nil {
			return false
		}
		err := errors.Join(errs...)
		if len(reached.Brokers) > 0 {
			switch {
			case err != nil:
				log.Warn("Kafka is reached, but not by every broker of kafka.brokers", zap.Error(err))
			case said != "":
				log.Info("Kafka is reached", zap.String("cluster", reached.Cluster))
			}
			return true
		}
		ready.Fail(err.Error())
		if text := err.Error(); text != said {
			said = text
			log.Warn("Kafka cannot be reached, trying on", zap.Error(err))
		}
		pause := time.NewTimer(reachEvery)
		select {
		case <-ctx.Done():
			pause.Stop()
			return false
		case <-pause.C:
		}
	}
}

// reach goes the way to each bootstrap broker, and to those that the cluster
// announces: clients use the first kind to find the second, and then only that.
func reach(ctx context.Context, clients kafka.Options) (reached kafka.Reached, faults []string) {
	reached, errs := clients.Probe(ctx)
	for _, err := range errs {
		faults = append(faults, err.Error())
	}
	clients.Brokers = slices.DeleteFunc(slices.Clone(reached.Brokers), func(b string) bool { return slices.Contains(clients.Brokers, b) })
	_, errs = clients.Probe(ctx)
	for _, err := range errs {
		faults = append(faults, fmt.Sprintf("announced by the cluster (advertised.listeners), and clients must reach it: %v", err))
	}
	return reached, faults
}
