package main

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// An end that is not known is never made up: a subscription would begin somewhere else.
func TestEndsOfATopic(t *testing.T) {
	at := func(offset int64) kadm.ListedOffset { return kadm.ListedOffset{Offset: offset} }
	for name, tc := range map[string]struct {
		partitions map[int32]kadm.ListedOffset
		want       string
	}{
		"in their order":                   {map[int32]kadm.ListedOffset{1: at(20), 0: at(10), 2: at(30)}, "[10 20 30] <nil>"},
		"none of a topic that is missing":  {map[int32]kadm.ListedOffset{-1: {Err: kerr.UnknownTopicOrPartition}}, "[] <nil>"},
		"not of one that cannot be seen":   {map[int32]kadm.ListedOffset{-1: {Err: kerr.LeaderNotAvailable}}, "[] " + kerr.LeaderNotAvailable.Error()},
		"not where one is not known there": {map[int32]kadm.ListedOffset{0: at(10), 1: {Err: kerr.UnknownTopicOrPartition}, 2: at(30)}, "[] partition 1: " + kerr.UnknownTopicOrPartition.Error()},
		"not where one is left out":        {map[int32]kadm.ListedOffset{0: at(10), 2: at(30)}, "[] partition 1: no answer about it"},
	} {
		t.Run(name, func(t *testing.T) {
			ends, err := endsOf(tc.partitions)
			if got := fmt.Sprint(ends, err); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}
