package bench

import (
	"context"
	_ "embed"
	"fmt"
	"os"
)

// OCIConfig is a configuration as crun writes it for a container under podman. Its process is the workload.
//
//go:embed testdata/config.json
var OCIConfig []byte

// Measure boots each of the inits in each of the rounds.
func (m *Machine) Measure(ctx context.Context, inits []Init, rounds int, progress func(string)) (*Report, error) {
	all := append([]Init{{Name: "nothing", Path: m.Programs.Finish}}, inits...)
	rows := make([]Row, len(all))
	for i, init := range all {
		info, err := os.Stat(init.Path)
		if err != nil {
			return nil, err
		}
		rows[i] = Row{Name: init.Name, Size: info.Size()}
	}
	for n := range rounds {
		progress(fmt.Sprintf("time, round %d of %d", n+1, rounds))
		for i, init := range all {
			start, err := m.Time(ctx, init)
			if err != nil {
				return nil, err
			}
			rows[i].Starts = append(rows[i].Starts, start)
		}
	}
	if !m.CountInstructions {
		for n := range (rounds + 2) / 3 {
			progress(fmt.Sprintf("memory, round %d of %d", n+1, (rounds+2)/3))
			for i, init := range all[1:] {
				memory, err := m.Memory(ctx, init)
				if err != nil {
					return nil, err
				}
				rows[i+1].Memory = append(rows[i+1].Memory, memory)
			}
		}
	}
	return &Report{UseMin: m.CountInstructions, Nothing: rows[0], Inits: rows[1:]}, nil
}
