//go:build linux || freebsd

package guestboot

import (
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/supervise"
)

// catchSignals receives, from now on, the signals that are for the workload, so that none is lost
// before there is one.
type catchSignals struct{ signals **loop.Signals }

func (catchSignals) Describe() op.Description { return op.Describe("catch", "signals for the workload") }

func (c catchSignals) Do() (err error) {
	*c.signals, err = loop.NotifySignals(supervise.Handled()...)
	return err
}
