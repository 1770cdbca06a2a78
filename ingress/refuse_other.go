//go:build !linux

package ingress

import "net"

// refuseNew is to be had on Linux only.
func refuseNew(net.Listener) bool { return false }

// unread is to be had on Linux only.
func unread(net.Conn) bool { return false }

// waiting is to be had on Linux only.
func waiting(net.Listener) int { return 0 }
