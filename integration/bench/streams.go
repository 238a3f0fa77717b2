package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// TransferSize is how many bytes each transfer moves.
const TransferSize = 40_000_000

// A Transfer is a way in which a workload uses a standard stream, one that is a port of the host:
// the size of its writes to standard output or, for Input, that it reads standard input.
type Transfer int

// Input stands for reading.
const Input Transfer = 0

// Transfers are all that are measured, in their order.
var Transfers = []Transfer{100, 4 << 10, 64 << 10, 1 << 20, Input}

// String returns what the transfer is called in a report.
func (t Transfer) String() string {
	if t == Input {
		return "input"
	}
	return fmt.Sprintf("writes of %d bytes", int(t))
}

// plainCopies makes the kernel copy 8 bytes with an instruction. Otherwise it copies with REP MOVSB,
// which is fast on processors, but which QEMU emulates byte by byte: a copy would then take longer
// than all else that a transfer does.
const plainCopies = "clearcpuid=erms,fsrm"

// streamRounds is how often each transfer is measured.
const streamRounds = 3

// measureStreams adds the times of transfers to the rows of the first init and of CInit, in turns.
// Without CInit there is nothing to compare with, and it does nothing.
func (m *Machine) measureStreams(
	ctx context.Context, inits []Init, rows []Row, progress func(string),
) error {
	peer := slices.IndexFunc(inits, func(i Init) bool { return i.Name == CInit })
	if peer < 0 {
		return nil
	}
	for n := range streamRounds {
		progress(fmt.Sprintf("streams, round %d of %d", n+1, streamRounds))
		for _, i := range []int{1, peer} {
			times, err := m.Streams(ctx, inits[i])
			if err != nil {
				return err
			}
			if rows[i].Streams == nil {
				rows[i].Streams = map[Transfer]Sample{}
			}
			for t, ms := range times {
				rows[i].Streams[t] = append(rows[i].Streams[t], ms)
			}
		}
	}
	return nil
}

// Streams boots a machine with init and returns how long each of Transfers takes, in milliseconds.
// The host measures, from the arrival of the bytes before to that of the last one.
func (m *Machine) Streams(ctx context.Context, init Init) (map[Transfer]float64, error) {
	cfg := m.config(init)
	cfg.Init, cfg.InitOneShot = init.Path, true
	cfg.KernelArgs = plainCopies
	cfg.Files = append(cfg.Files,
		hostfs.File{Path: "/workload", Source: m.Programs.Transfer, Mode: 0o755})
	for _, t := range Transfers {
		if t != Input {
			cfg.Args = append(cfg.Args, strconv.Itoa(int(t)))
		}
	}
	host := newStreamHost()
	cfg.Ports = []vm.Port{
		{Name: "krun-stdin", In: host},
		{Name: "krun-stdout", Out: host},
	}
	result, err := vm.Run(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", init.Name, err)
	}
	if result.ExitCode != 0 || len(host.times) != len(Transfers) {
		return nil, fmt.Errorf("%s: exit code %d after %d bytes of output; console: %q",
			init.Name, result.ExitCode, host.received, result.Console)
	}
	return host.times, nil
}

// streamHost is the host's end of the streams: a Reader and a Writer.
type streamHost struct {
	received int // bytes of output
	last     time.Time
	times    map[Transfer]float64
	reading  chan struct{} // closed when the workload begins to read
	sent     int
}

func newStreamHost() *streamHost {
	return &streamHost{times: map[Transfer]float64{}, reading: make(chan struct{})}
}

func (h *streamHost) Write(p []byte) (int, error) {
	now := time.Now()
	if h.received == 0 {
		h.last = now
	}
	before := h.received
	h.received += len(p)
	outputs := len(Transfers) - 1
	for i, t := range Transfers {
		end := (i + 1) * TransferSize
		if t == Input {
			end = outputs*TransferSize + 2
		}
		if before < end && h.received >= end {
			h.times[t] = now.Sub(h.last).Seconds() * 1e3
			h.last = now
		}
	}
	if mark := outputs*TransferSize + 1; before < mark && h.received >= mark {
		h.last = now
		close(h.reading)
	}
	return len(p), nil
}

func (h *streamHost) Read(p []byte) (int, error) {
	<-h.reading
	n := min(len(p), TransferSize-h.sent)
	if n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	h.sent += n
	return n, nil
}
