// Package secret holds secrets that cannot be printed by accident, and the
// references (env:NAME, file:/path) by which configuration names them.
package secret
