// Package catalog holds what people want: sources and subscriptions, how they
// are written down, what is allowed in them, where they are kept, and the immutable
// snapshot that ingress and egress work from.
//
// The written form (SourceSpec, SubscriptionSpec) comes from the process file;
// Build checks all of it, says every fault at once, and compiles it into a
// Snapshot. A Snapshot never changes: whoever wants something else builds a new
// one and swaps it in.
//
// In the catalog each of them is an Entry, which adds what only causeway knows: its
// uid, its version, its owner. A State is all entries at one version; Topic keeps it
// in Kafka, File beside the embedded broker, and both are changed by Update alone. A
// Compiler makes the Snapshot of each State.
//
// What may be written is a Checker's to say, before it is; what was written may have
// become wrong since, and then has its Fault in the Snapshot. Plan works out what a
// file wants changed, Begin where new subscriptions start. Who did what is written
// together with the change, in AuditRecords.
package catalog
