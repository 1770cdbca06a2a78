// Package egress delivers events to subscribers' URLs: one consumer group reads
// the event topics, another one the delay topics, and both feed the same queues.
//
// A record's way is: poll -> partition (backlog, and in a delay topic the hold
// until it is due) -> match -> queue of the subscription -> deliver -> settle ->
// watermark -> commit.
//
// # What may not be lost, and why it is not
//
// Settle, then complete, then commit. A delivery is settled when it got a 2xx,
// or when the record that carries it on (delay topic) or ends it (DLQ) is
// acknowledged by Kafka. Only then its entry in the partition's watermark is
// completed, and only offsets below every open entry are ever committed. Dying
// at any line in between repeats work; it never skips any.
//
// # Generations
//
// A partition object is one generation of owning a Kafka partition. It is made
// when the partition is assigned and is dead for ever once it is revoked or
// lost; the next assignment makes a new one. Whatever arrives late (a response,
// an acknowledgement, a timer) finds its dead object and does nothing. Records
// are tied to the object at the moment the client buffers them, so that records
// of an older generation can't be taken for those of the next one. A commit
// captures member and generation under the lock under which the object is known
// to be alive and that member's: a process that was frozen meanwhile commits with a
// generation that the group has left, and is refused.
//
// A partition that is going closes the gaps first: one subscription is always ahead
// of another, and what was delivered beyond the first unsettled offset would come
// again. So what lies below an offset that has begun may begin for a few seconds
// more, and nothing else.
//
// # A catalog that changes
//
// Sources and subscriptions change while egress runs. One goroutine makes each newer
// catalog ready and swaps it in; nothing that delivers waits for that. Each partition of
// events takes a version up between two records, and its commits say which, so that who
// comes after it neither leaves out a new subscription nor begins it twice: birth.go
// tells the whole of it. Deliveries name the version that made them. A process behind it
// parks them, for it may have an old URL (behind.go); one that is not behind it knows for
// sure that a subscription which it does not know is gone. What waits in a queue meets its
// subscription as it is when its attempt begins.
//
// Locks, always taken in this order: member.mu, partition.mu, dispatcher.mu.
package egress
