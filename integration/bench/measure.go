package bench

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"time"
)

// OCIConfig is a configuration as crun writes it for a container of podman's. Its process is the
// workload of Start.
//
//go:embed testdata/config.json
var OCIConfig []byte

// A Report is what was measured.
type Report struct {
	// Rows begin with the workload without an init. The inits follow in the order that Measure
	// was given.
	Rows []Row
}

// A Row is what was measured of one init.
type Row struct {
	Name   string
	Size   int64 // of the program, bytes
	Starts map[Unit][]Start
	Memory *Memory // nil without an init
	Native Sample  // starts on the host, µs
	// Streams are the times of transfers, ms. Only rows with a bar or for comparison have them.
	Streams map[Transfer]Sample
}

// Measure measures inits, at least one, in a number of rounds, at least one. It stops after fewer
// rounds if the next one would end later than limit from now. The rounds count instructions; one
// boot each measures memory and the units without bars. Measure calls progress with a line of text
// when a part begins.
func (m *Machine) Measure(
	ctx context.Context, inits []Init, rounds int, limit time.Duration, progress func(string),
) (*Report, error) {
	deadline := time.Now().Add(limit)
	inits = append([]Init{{Name: "nothing", Path: m.Programs.Finish}}, inits...)
	r := Report{Rows: make([]Row, len(inits))}
	for i, init := range inits {
		info, err := os.Stat(init.Path)
		if err != nil {
			return nil, err
		}
		r.Rows[i] = Row{Name: init.Name, Size: info.Size(), Starts: map[Unit][]Start{}}
	}
	progress("memory")
	for i, init := range inits[1:] {
		memory, err := m.Memory(ctx, init)
		if err != nil {
			return nil, err
		}
		r.Rows[i+1].Memory = &memory
	}
	units := []Unit{Time}
	if m.Plugin != "" {
		units = append(units, Blocks)
	}
	for _, unit := range units {
		progress(string(unit))
		if err := m.round(ctx, inits, r.Rows, unit); err != nil {
			return nil, err
		}
	}
	if err := m.measureStreams(ctx, inits, r.Rows, progress); err != nil {
		return nil, err
	}
	var longest time.Duration // of the rounds
	for n := range rounds {
		start := time.Now()
		if n > 0 && start.Add(longest).After(deadline) {
			progress(fmt.Sprintf("no time for more than %d of %d rounds", n, rounds))
			break
		}
		progress(fmt.Sprintf("%s, round %d of %d", Instructions, n+1, rounds))
		if err := m.round(ctx, inits, r.Rows, Instructions); err != nil {
			return nil, err
		}
		longest = max(longest, time.Since(start))
	}
	progress("native starts")
	return &r, measureNative(ctx, r.Rows, inits, nativeStarts, progress)
}

// round boots each init once, and adds what was measured to the rows.
func (m *Machine) round(ctx context.Context, inits []Init, rows []Row, unit Unit) error {
	for i, init := range inits {
		start, err := m.Start(ctx, init, unit)
		if err != nil {
			return err
		}
		rows[i].Starts[unit] = append(rows[i].Starts[unit], start)
	}
	return nil
}
