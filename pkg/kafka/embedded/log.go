package embedded

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// brokerLog passes kfake's messages on. Its warnings are mostly about writes
// that went wrong.
type brokerLog struct{ logger *zap.Logger }

// Logf is called by kfake.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	var log func(string, ...zap.Field)
	switch level {
	case kfake.LogLevelError:
		log = l.logger.Error
	case kfake.LogLevelWarn:
		log = l.logger.Warn
	default:
		log = l.logger.Debug
	}
	log("embedded broker", zap.String("says", fmt.Sprintf(format, args...)))
}
