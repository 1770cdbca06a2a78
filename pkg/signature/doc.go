// Package signature describes webhook signature schemes as data and signs and
// verifies with the same description, so that the two can never drift apart.
package signature
