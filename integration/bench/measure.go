package bench

import (
	"context"
	_ "embed"
	"fmt"
	"os"
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
}

// Measure measures inits, at least one, in a number of rounds, at least one. The rounds count
// instructions. Half of them measure the other units, which have no bars, and one boot the memory.
// Measure calls progress with a line of text when a part begins.
func (m *Machine) Measure(
	ctx context.Context, inits []Init, rounds int, progress func(string),
) (*Report, error) {
	inits = append([]Init{{Name: "nothing", Path: m.Programs.Finish}}, inits...)
	r := Report{Rows: make([]Row, len(inits))}
	for i, init := range inits {
		info, err := os.Stat(init.Path)
		if err != nil {
			return nil, err
		}
		r.Rows[i] = Row{Name: init.Name, Size: info.Size(), Starts: map[Unit][]Start{}}
	}

	half := (rounds + 1) / 2
	for _, part := range []struct {
		unit   Unit
		rounds int
	}{{Instructions, rounds}, {Time, half}, {Blocks, half}} {
		if part.unit == Blocks && m.Plugin == "" {
			continue
		}
		for n := range part.rounds {
			progress(fmt.Sprintf("%s, round %d of %d", part.unit, n+1, part.rounds))
			for i, init := range inits {
				start, err := m.Start(ctx, init, part.unit)
				if err != nil {
					return nil, err
				}
				r.Rows[i].Starts[part.unit] = append(r.Rows[i].Starts[part.unit], start)
			}
		}
	}

	progress("memory")
	for i, init := range inits[1:] {
		memory, err := m.Memory(ctx, init)
		if err != nil {
			return nil, err
		}
		r.Rows[i+1].Memory = &memory
	}
	progress("native starts")
	return &r, measureNative(ctx, r.Rows, inits, nativeStarts, progress)
}
