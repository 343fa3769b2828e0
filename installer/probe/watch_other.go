//go:build !linux

package probe

import "errors"

// packets cannot be watched here without a driver of its own.
type packets struct{}

func openPackets(func(sighting, bool)) (*packets, error) {
	return nil, errors.New("watching packets: only possible on Linux")
}

func (*packets) drain()      {}
func (*packets) whole() bool { return false }
func (*packets) close()      {}

// bindPort leaves the choice of a port to the system: nothing is watched.
func bindPort(uintptr) (uint16, error) { return 0, nil }
