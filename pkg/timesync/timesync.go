// Package timesync keeps a guest's clock at that of its libkrun host, which sends its time in datagrams over vsock: once a
// minute, and at once after it slept.
//
// A datagram begins with CLOCK_REALTIME in nanoseconds, 8 bytes, little-endian. libkrun sends its whole buffer, of some
// 3.7 kB; what is behind the time means nothing. A Sync believes those that come from port 123 of the host, and only times
// that a clock can show. Where the clock is off by more than a threshold, it is stepped; else it is left alone or, where
// that is asked for, slewed: sped up or slowed down until it is right, so that it never goes back.
package timesync

import (
	"encoding/binary"
	"errors"
	"time"
)

const (
	// Port is the vsock port of both sides.
	Port = 123
	// HostCID is the host's address, VMADDR_CID_HOST.
	HostCID = 2
	// DefaultThreshold is that of libkrun's own init.
	DefaultThreshold = 100 * time.Millisecond
)

// Time is a real time in nanoseconds since 1970, as of CLOCK_REALTIME.
type Time int64

// What a clock can show.
const (
	earliest Time = 1577836800e9 // 2020
	latest   Time = 7258118400e9 // 2200; Linux takes no time beyond 2232
)

// Reasons to refuse a datagram.
var (
	ErrShort  = errors.New("shorter than 8 bytes")
	ErrTime   = errors.New("not a time between 2020 and 2200")
	ErrSender = errors.New("not from the host's port 123")
)

// size is how much of a datagram is looked at.
const size = 8

// Parse returns the time that a datagram brings, or why it is refused.
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

// Address is a vsock address.
type Address struct{ CID, Port uint32 }

// Action is what a datagram leads to.
type Action uint8

// The actions.
const (
	Refuse Action = iota // it is not believed
	Keep                 // the clock is right enough
	Slew                 // the clock is to be right in a minute
	Step                 // the clock is set
)

func (a Action) String() string {
	switch a {
	case Refuse:
		return "refused"
	case Keep:
		return "kept"
	case Slew:
		return "slewed"
	default:
		return "stepped"
	}
}

// Policy says what to do about a clock that is off.
type Policy struct {
	Threshold time.Duration // the clock is stepped if it is off by more
	Slew      bool          // and slewed if by less
}

// Decide returns what to do about an offset: the host's time less that of the clock.
func (p Policy) Decide(offset time.Duration) Action {
	switch {
	case offset.Abs() > p.Threshold:
		return Step
	case p.Slew && offset != 0:
		return Slew
	}
	return Keep
}

// Event is a datagram and what came of it.
type Event struct {
	From   Address
	Action Action
	Offset time.Duration // the host's time less that of the clock; 0 if refused
	Err    error         // why it is refused, or why the clock could not be set
}

// Counts are the datagrams so far. Of several that were waiting, only the newest counts for the clock.
type Counts struct {
	Received, Refused, Stepped, Slewed uint64

	// Offset is the last one found.
	Offset time.Duration
}
