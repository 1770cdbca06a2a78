// Package ingress takes one webhook from its socket to an acknowledged record.
//
// receive in server.go tells the story from top to bottom; every other file is one of
// its words. What the package promises: a provider is told "received" only after all
// in-sync replicas have the record, and "already processed" only when they had it
// before; what strangers send costs a bounded amount of memory, and nothing of a
// source's rate.
package ingress
