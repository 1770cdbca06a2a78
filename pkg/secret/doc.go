// Package secret holds secrets that cannot be printed by accident, the references
// (env:NAME, file:/path, sealed:...) that name them, and the keyring that seals them.
package secret
