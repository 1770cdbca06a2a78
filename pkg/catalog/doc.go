// Package catalog holds what people want: sources and subscriptions, how they
// are written down, what is allowed in them, and the immutable snapshot that
// ingress and egress work from.
//
// The written form (SourceSpec, SubscriptionSpec) comes from the process file;
// Build checks all of it, says every fault at once, and compiles it into a
// Snapshot. A Snapshot never changes: whoever wants something else builds a new
// one and swaps it in.
package catalog
