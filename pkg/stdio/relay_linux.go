package stdio

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// Relay moves the bytes between virtio ports and the pipes that a workload has in place of them. A
// port can be opened once, takes 32 KiB of a write, and its reader can't be interrupted; a pipe has
// none of these limits. The zero Relay has no ports.
//
// It is a loop.Task. It never blocks: a port that the host does not read leaves its pipe full.
type Relay struct {
	flows [3]flow // by standard descriptor
	polls [6]unix.PollFd
	until time.Duration // when Drain gives up, by loop.Now; 0: not yet decided
}

// connectInterval is the time between two checks of a port that the host has not connected yet.
// poll(2) can't wait for that: it always reports such a port as closed.
const connectInterval = 100 * time.Millisecond

func (r *Relay) Poll(fds []unix.PollFd) (all []unix.PollFd, wait time.Duration) {
	wait = loop.Forever
	for i := range r.flows {
		f := &r.flows[i]
		switch {
		case !f.open:
		case f.full && !f.connected:
			wait = connectInterval
		case f.full:
			fds = append(fds, unix.PollFd{Fd: int32(f.sink), Events: unix.POLLOUT})
		default:
			fds = append(fds, unix.PollFd{Fd: int32(f.source), Events: unix.POLLIN})
			if f.connected {
				fds = append(fds, unix.PollFd{Fd: int32(f.sink)}) // tells when its other end closes
			}
		}
	}
	return fds, wait
}

func (r *Relay) Run() {
	if r.Idle() {
		return
	}
	for i := range r.flows {
		f := &r.flows[i]
		source, sink := int32(-1), int32(-1) // poll(2) ignores these
		if f.open {
			source, sink = int32(f.source), int32(f.sink)
		}
		r.polls[2*i] = unix.PollFd{Fd: source, Events: unix.POLLIN}
		r.polls[2*i+1] = unix.PollFd{Fd: sink, Events: unix.POLLOUT}
	}
	if _, err := unix.Poll(r.polls[:], 0); err != nil {
		return // EINTR; the loop comes back
	}
	for i := range r.flows {
		if f := &r.flows[i]; f.open {
			f.run(r.polls[2*i].Revents, r.polls[2*i+1].Revents)
		}
	}
}

// Idle reports whether there is nothing to relay, now and later.
func (r *Relay) Idle() bool { return !r.flows[0].open && !r.flows[1].open && !r.flows[2].open }

// Stderr returns the descriptor of the port that takes the workload's standard error, for a line of
// this process, or another descriptor if there is no such port. What the workload has written
// before is in front of the line if Drain has run.
func (r *Relay) Stderr(other int) int {
	if f := &r.flows[unix.Stderr]; f.sink > 0 {
		return f.sink
	}
	return other
}

// Handover returns a description of the relay for Resume in another process, which must have the
// descriptors of Files, below 256, under the same numbers. It returns nil if there is nothing to
// relay.
func (r *Relay) Handover() (state []byte) {
	for i, f := range r.flows {
		if f.open {
			pages := byte(0)
			if f.pages {
				pages = 1
			}
			state = append(state, byte(i), byte(f.source), byte(f.sink), pages)
		}
	}
	return state
}

// Files returns the descriptors of the relay.
func (r *Relay) Files() (fds []int) {
	for _, f := range r.flows {
		if f.open {
			fds = append(fds, f.source, f.sink)
		}
	}
	return fds
}

// Resume continues in the place of the process that returned state from Handover.
func (r *Relay) Resume(state []byte) error {
	for ; len(state) >= 4 && int(state[0]) < len(r.flows); state = state[4:] {
		stream := int(state[0])
		r.flows[stream] = newFlow(stream, int(state[1]), int(state[2]), state[3] != 0)
	}
	if len(state) > 0 || r.Idle() {
		return errors.New("malformed handover of the streams")
	}
	return nil
}

// Drain is the operation that waits until the host has taken the output that is in the pipes. It
// gives up when Limit has passed since the first Drain of the Relay began, or at a SIGTERM, SIGINT
// or SIGPWR.
type Drain struct {
	Relay   *Relay
	Signals *loop.Signals // nil: none
	Limit   time.Duration
}

func (d Drain) Describe() op.Description {
	return op.Describe("relay", "the output that is left", "for", d.Limit)
}

// Do fails if the host has not taken all. It does not wait for what is written while it runs.
func (d Drain) Do() error {
	r := d.Relay
	if r.until == 0 {
		r.until = loop.Now() + d.Limit
	}
	var ends [len(r.flows)]int64
	for i := range r.flows {
		ends[i] = r.flows[i].end()
	}
	tasks := loop.Loop{Tasks: []loop.Task{r}}
	for r.Run(); ; {
		var left int64
		for i := range r.flows {
			if f := &r.flows[i]; f.open {
				left += max(0, ends[i]-f.moved)
			}
		}
		if left == 0 {
			return nil
		}
		if stopRequested(d.Signals) {
			r.until = 1 // another Drain does not wait
		}
		limit := r.until - loop.Now()
		if limit <= 0 {
			return fmt.Errorf("the host has not taken the last %d bytes", left)
		}
		if _, err := tasks.Step(d.Signals.FD(), limit); err != nil {
			return err
		}
	}
}

// stopRequested reports whether a signal asks for the end. It takes all signals that wait.
func stopRequested(signals *loop.Signals) (requested bool) {
	for sig := signals.Next(); sig != 0; sig = signals.Next() {
		requested = requested || sig == unix.SIGTERM || sig == unix.SIGINT || sig == unix.SIGPWR
	}
	return requested
}
