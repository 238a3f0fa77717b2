// Package timesync synchronizes the clock of a guest with the clock of its libkrun host. The host
// sends its time in datagrams over vsock: once a minute, and immediately after it was suspended.
//
// A datagram begins with the host's CLOCK_REALTIME in nanoseconds, 8 bytes, little-endian. libkrun
// sends its whole buffer of about 3.7 kB; the bytes after the time have no meaning. A Sync accepts
// only datagrams from port 123 of the host with a time between 2020 and 2200. It steps a clock that
// is off by more than a threshold. A clock that is off by less is kept or, with Policy.Slew,
// slewed: it runs faster or slower until it is right, and never goes back.
package timesync

import (
	"encoding/binary"
	"errors"
	"time"
)

const (
	// Port is the vsock port of both sides.
	Port = 123
	// HostCID is the vsock address of the host, VMADDR_CID_HOST.
	HostCID = 2
	// DefaultThreshold is the threshold of libkrun's own init.
	DefaultThreshold = 100 * time.Millisecond
)

// Time is a value of CLOCK_REALTIME: nanoseconds since 1970.
type Time int64

// The range of times that are accepted.
const (
	earliest Time = 1577836800e9 // 2020
	latest   Time = 7258118400e9 // 2200; Linux accepts no time after 2232
)

// Reasons to refuse a datagram.
var (
	ErrShort  = errors.New("shorter than 8 bytes")
	ErrTime   = errors.New("not a time between 2020 and 2200")
	ErrSender = errors.New("not from the host's port 123")
)

// size is the length in bytes of the time in a datagram.
const size = 8

// Parse returns the time in a datagram. The error is ErrShort or ErrTime.
func Parse(datagram []byte) (Time, error) {
	if len(datagram) < size {
		return 0, ErrShort
	}
	t := binary.LittleEndian.Uint64(datagram)
	if t < uint64(earliest) || t >= uint64(latest) {
		return 0, ErrTime
	}
	return Time(t), nil
}

// Address is a vsock address, vsock(7).
type Address struct{ CID, Port uint32 }

// hostClock is the only sender whose datagrams are accepted.
var hostClock = Address{HostCID, Port}

// Action is what a Sync does with a datagram.
type Action uint8

// The actions. The zero value is Refuse.
const (
	Refuse Action = iota // the datagram is not accepted
	Keep                 // the clock is not changed
	Slew                 // the clock is corrected gradually, within about a minute
	Step                 // the clock is set
)

// String returns the action as a past participle, such as "stepped".
func (a Action) String() string {
	return [...]string{"refused", "kept", "slewed", "stepped"}[min(a, Step)]
}

// Policy decides how to correct a clock.
type Policy struct {
	Threshold time.Duration // the clock is stepped if it is off by more
	Slew      bool          // the clock is slewed if it is off by less; else it is kept
}

// Decide returns the action for an offset: the host's time minus the clock's.
func (p Policy) Decide(offset time.Duration) Action {
	switch {
	case offset.Abs() > p.Threshold:
		return Step
	case p.Slew && offset != 0:
		return Slew
	}
	return Keep
}

// Event is a datagram and its result.
type Event struct {
	From   Address
	Action Action
	Offset time.Duration // the host's time minus the clock's; 0 if the datagram was refused
	Err    error         // why the datagram was refused, or why the clock could not be changed
}

// Counts are numbers of datagrams since the start. Stepped and Slewed do not count accepted
// datagrams that Run skipped because a newer one was queued.
type Counts struct {
	Received, Refused, Stepped, Slewed uint64

	Offset time.Duration // of the last accepted datagram
}
