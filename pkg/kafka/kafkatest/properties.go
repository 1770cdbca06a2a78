package kafkatest

import (
	"fmt"
	"strings"
)

// properties is a broker's configuration: small internal topics, so that a
// cluster is up in seconds, and a dead broker missed after six of them, sooner
// than the door gives a record up; otherwise as strict as one in production.
func (b *broker) properties(voters []string) string {
	copies, insync := 1, 1
	if len(voters) >= 3 {
		copies, insync = 3, 2
	}
	addresses, protocols, security := "", "", ""
	if b.secured != nil {
		addresses, protocols = b.secured.listeners()
		security = b.secured.properties(b)
	}
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=PLAINTEXT://127.0.0.1:%[3]d,CONTROLLER://127.0.0.1:%[4]d%[8]s
advertised.listeners=PLAINTEXT://127.0.0.1:%[3]d%[8]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT%[9]s
log.dirs=%[5]s
default.replication.factor=%[6]d
min.insync.replicas=%[7]d
auto.create.topics.enable=false
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=%[6]d
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=%[6]d
transaction.state.log.min.isr=%[7]d
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=%[6]d
share.coordinator.state.topic.min.isr=%[7]d
log.cleaner.dedupe.buffer.size=16777216
%[10]s`, b.id, strings.Join(voters, ","), b.port, b.controller, b.data(), copies, insync, addresses, protocols, security)
}

const log4j = `status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
`
