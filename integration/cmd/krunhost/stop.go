package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/krunbox/krunbox/integration/vm"
)

// Times of an orderly end.
const (
	defaultStopTime = 10 * time.Second // see KRUN_STOP_TIMEOUT
	// endTime is what the guest may take after its stop time, to stop the other processes and to
	// unmount disks.
	endTime = 10 * time.Second
	// pressInterval is the time between presses of the power key. The guest does not notice those
	// before its kernel has found the keyboard, and it takes a key that is held for one press.
	pressInterval = 500 * time.Millisecond
)

// signalError is the cause of a context that was canceled by a signal.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "received signal: " + e.Signal.String() }

// stopper ends the machine when this process receives a signal. The first SIGHUP, SIGINT or SIGTERM
// is a request to the guest, by its power key. The machine is killed if that takes too long, at the
// next signal, at SIGQUIT, and where the guest has no power key.
type stopper struct {
	stderr io.Writer
	cancel context.CancelCauseFunc // kills the machine

	mu     sync.Mutex
	press  func(context.Context) error // presses the power key; nil if the machine has no power key
	limit  time.Duration               // how long the guest may take
	noRoom bool                        // the machine has no power key, for it has no room for one
	asked  bool
	ending context.Context // ends with the machine
}

// withSignals returns a context that is canceled, with a signalError as the cause, when the machine
// must be killed because of signals that this process receives.
func withSignals(parent context.Context, stderr io.Writer) (ctx context.Context, s *stopper, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	s = &stopper{stderr: stderr, cancel: cancel, ending: ctx}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	go func() {
		for {
			select {
			case received := <-signals:
				s.receive(received.(syscall.Signal))
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, s, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// receive acts on a signal.
func (s *stopper) receive(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noRoom {
		fmt.Fprintf(s.stderr, "krunhost: %v: killed the guest, which has no power key: with %d disks, shares and --net there is no room\n",
			sig, vm.MaxDevices)
	}
	if s.asked || s.press == nil || sig == syscall.SIGQUIT {
		s.cancel(signalError{sig})
		return
	}
	s.asked = true
	fmt.Fprintf(s.stderr, "krunhost: %v: pressed the guest's power key; another signal kills it\n", sig)
	go s.hold(s.press)
	time.AfterFunc(s.limit, func() { s.cancel(signalError{sig}) })
}

// hold presses the power key until the machine has ended.
func (s *stopper) hold(press func(context.Context) error) {
	for press(s.ending) == nil {
		select {
		case <-s.ending.Done():
			return
		case <-time.After(pressInterval):
		}
	}
}

// use gives the machine of cfg a power key, unless it has no room for a keyboard. It returns a
// function to call when the machine has ended. env has the variables for init.
func (s *stopper) use(cfg *vm.Config, env []string) (done func(), err error) {
	if !vm.HasRoom(cfg) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.noRoom = true
		return func() {}, nil
	}
	control, err := vm.NewControl()
	if err != nil {
		return nil, err
	}
	control.AddTo(cfg)
	control.AddPowerKey(cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.press, s.limit = control.HoldPowerKey, stopTime(env)+endTime
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.press = nil
		s.cancel(nil) // ends a press that waits
		control.Close()
	}, nil
}

// stopTime returns the guest's stop time with the variables env for init.
func stopTime(env []string) time.Duration {
	limit := defaultStopTime
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "KRUN_STOP_TIMEOUT="); ok {
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
				limit = time.Duration(seconds) * time.Second
			}
		}
	}
	return limit
}
