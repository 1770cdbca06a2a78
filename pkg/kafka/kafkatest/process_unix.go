//go:build unix && !linux

package kafkatest

import "syscall"

// Only Main ends the brokers here: a killed test process leaves them behind.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
