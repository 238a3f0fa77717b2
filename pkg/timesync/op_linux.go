package timesync

import "github.com/krunbox/krunbox/pkg/boot"

// Start is the operation that opens the socket. Datagrams that come from then on wait for Apply, or for Run.
type Start struct{ Sync *Sync }

// Describe implements boot.Op.
func (s Start) Describe() boot.Desc {
	below := "leave"
	if s.Sync.cfg.Slew {
		below = "slew"
	}
	return boot.Desc{Verb: "listen to the host's clock", Object: "vsock port 123", Attrs: []boot.Attr{
		boot.A("stepAbove", s.Sync.cfg.Threshold.String()), boot.A("below", below),
	}}
}

// Do implements boot.Op.
func (s Start) Do() error { return s.Sync.Open() }

// Apply is the operation that sets the clock by a datagram that is waiting, if one is.
type Apply struct{ Sync *Sync }

// Describe implements boot.Op.
func (Apply) Describe() boot.Desc {
	return boot.Desc{Verb: "set the clock", Object: "by a datagram that has come"}
}

// Do implements boot.Op.
func (a Apply) Do() error {
	a.Sync.Run()
	return nil
}
