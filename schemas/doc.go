// Package schemas is causeway's wire contract: what its Kafka records look like
// and how to read them. It imports nothing else of causeway, so any Go consumer
// can use it.
//
// An [Event] is one webhook as stored. Its record carries the same headers in
// every format (raw, avro, cloudevents); [FromRecord] reads them all. A
// [Delivery] is one event on its way to one subscription: the event's record,
// byte for byte, with the delivery's state behind the event's own headers. An
// [Attempt] tells what one try of a delivery came to.
//
// Every record names its schema in the header causeway-schema. A change that
// this release could not read gets a higher number: [ErrNewerSchema] then tells
// an old process to hold the record, which [ErrMalformed] never does.
package schemas
