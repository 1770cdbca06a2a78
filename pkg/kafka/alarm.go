package kafka

import (
	"go.uber.org/zap"
)

// groupHook says loudly that a member lost its place in the group: until it is
// back, its partitions stand still or belong to somebody else.
type groupHook struct{ logger *zap.Logger }

// OnGroupManageError is called by the client.
func (h *groupHook) OnGroupManageError(err error) {
	if IsDenied(err) {
		return // it never had it: the group's own condition says so
	}
	h.logger.Error("this process lost its place in the consumer group and will join again", zap.Error(err))
}

// lostRecords says that a broker forgot records that it had acknowledged. The
// client goes on with a new sequence; nothing here can bring them back.
func lostRecords(logger *zap.Logger) func(topic string, partition int32) {
	return func(topic string, partition int32) {
		logger.Error("the broker lost acknowledged records: look at its log and disk, and at unclean leader elections",
			zap.String("topic", topic), zap.Int32("partition", partition))
	}
}
