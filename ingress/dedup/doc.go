// Package dedup decides, at the door, which of several copies of an event is stored.
//
// Each copy makes a claim on the event's identity. The first claim is fresh: its owner
// produces the record and settles the claim with what came of it. A claim on the same
// identity meanwhile is in flight, and shares the outcome of the first. Only an
// acknowledged record makes an identity stored, so that nobody is ever told "already
// processed" of something that Kafka does not hold.
package dedup
