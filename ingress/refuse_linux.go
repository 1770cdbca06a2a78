package ingress

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseNew lets the kernel pass over new connections to the listener, which goes on
// accepting those that were begun. Closing it resets what waits in its queue: to a
// client that is an error like any other in the middle of a request, whereas a first
// packet without an answer is sent again, and then finds the listener closed and is
// refused. It is false where that is
// not to be had, as on a listener for multipath TCP; then the queue is reset.
func refuseNew(ln net.Listener) bool {
	conn, ok := ln.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},                    // the flags of the TCP header
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: tcpSYN | tcpACK},      // a first packet has
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: tcpSYN}, // SYN without ACK:
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},                                   // dropped
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},                           // all others: whole
	}
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	return failed == nil && err == nil
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// unread says whether something has come on the connection that nobody has read.
func unread(c net.Conn) bool {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	waiting := 0
	failed := raw.Control(func(fd uintptr) { waiting, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return failed == nil && err == nil && waiting > 0
}

// waiting says how many connections nobody has accepted yet: for a listener, that is
// where TCP_INFO has it.
func waiting(ln net.Listener) int {
	conn, ok := ln.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	var info *unix.TCPInfo
	failed := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if failed != nil || err != nil {
		return 0
	}
	return int(info.Unacked)
}
