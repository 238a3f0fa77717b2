package bench

import (
	"context"
	_ "embed"
	"fmt"
	"os"
)

// OCIConfig is a configuration as crun writes it for a container of podman's. Its process is the workload of Start.
//
//go:embed testdata/config.json
var OCIConfig []byte

// A Report is what was measured.
type Report struct {
	Nothing Row // the workload without an init
	Inits   []Row
}

// A Row is what was measured of one init.
type Row struct {
	Name   string
	Size   int64 // of the program, bytes
	Starts []Start
	Memory []Memory // nothing where instructions or blocks were counted
}

// Measure measures inits in a number of rounds, at least one. For memory, a third of them is enough. It calls progress
// with a line of text when a round begins.
func (m *Machine) Measure(ctx context.Context, inits []Init, rounds int, progress func(string)) (*Report, error) {
	var r Report
	nothing := Init{Name: "nothing", Path: m.Programs.Finish}
	for _, init := range append([]Init{nothing}, inits...) {
		info, err := os.Stat(init.Path)
		if err != nil {
			return nil, err
		}
		r.Inits = append(r.Inits, Row{Name: init.Name, Size: info.Size()})
	}
	r.Nothing, r.Inits = r.Inits[0], r.Inits[1:]

	for n := range rounds {
		progress(fmt.Sprintf("time, round %d of %d", n+1, rounds))
		start, err := m.Start(ctx, nothing)
		if err != nil {
			return nil, err
		}
		r.Nothing.Starts = append(r.Nothing.Starts, start)
		for i, init := range inits {
			if start, err = m.Start(ctx, init); err != nil {
				return nil, err
			}
			r.Inits[i].Starts = append(r.Inits[i].Starts, start)
		}
	}
	if m.CountInstructions || m.CountBlocks != "" {
		return &r, nil
	}
	rounds = (rounds + 2) / 3
	for n := range rounds {
		progress(fmt.Sprintf("memory, round %d of %d", n+1, rounds))
		for i, init := range inits {
			memory, err := m.Memory(ctx, init)
			if err != nil {
				return nil, err
			}
			r.Inits[i].Memory = append(r.Inits[i].Memory, memory)
		}
	}
	return &r, nil
}
