// Package admin is the HTTP API by which people and programs look at causeway and
// change its catalog, and the Go client of that API, made from the same types.
package admin
