package timesync

import "github.com/krunbox/krunbox/pkg/op"

// Start is the operation that opens the socket of a Sync. Datagrams queue there until Apply or Run.
type Start struct{ Sync *Sync }

func (s Start) Describe() op.Description {
	below := "leave"
	if s.Sync.cfg.Slew {
		below = "slew"
	}
	return op.Describe("listen to the host's clock", "vsock port 123",
		"stepAbove", s.Sync.cfg.Threshold, "below", below)
}

func (s Start) Do() error { return s.Sync.Open() }

// Apply is the operation that corrects the clock by the datagrams that are queued, if any.
type Apply struct{ Sync *Sync }

func (Apply) Describe() op.Description {
	return op.Describe("set the clock", "by a datagram that has come")
}

func (a Apply) Do() error {
	a.Sync.Run()
	return nil
}
