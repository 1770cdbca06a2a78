// Package provider describes the senders of webhooks as data: how they sign,
// where an event's ID and type are, which handshakes they ask for, what their
// requests look like. The presets are in providers.yaml; to add one, add its
// lines there, a sample and a vector for the test.
package provider
