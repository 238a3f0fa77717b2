package cases

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDebug asks for a report on the boot: a line on each stage, on the console, and the same in a file that the workload
// can read.
func TestDebug(t *testing.T) {
	t.Parallel()
	// The stage of the workload itself is in the file when it runs, not before.
	cfg := script(t, "amd64", `while ! grep -q '"stage": "workload"' /run/krunbox/boot.json; do sleep 0.1; done; cat /run/krunbox/boot.json >/report; echo running; exit 3`)
	cfg.Env = []string{"KRUN_DEBUG=1", "KRUN_NEW=1"}
	text := console(run(t, cfg, 3))

	var report []struct {
		Stage           string
		Start, Duration float64 // seconds
		Ops             int
		OnError         string
		Errors          []string
	}
	data, err := os.ReadFile(filepath.Join(cfg.Root, "report"))
	if err == nil {
		err = json.Unmarshal(data, &report)
	}
	if err != nil {
		t.Fatalf("report: %v: %s", err, data)
	}
	rest, at, warned := text, 0.0, false
	for _, stage := range report {
		// A stage starts when the one before is over.
		if stage.Start < at || stage.Duration < 0 {
			t.Errorf("stage %s starts at %f s and takes %f s, after one that is over at %f s", stage.Stage, stage.Start, stage.Duration, at)
		}
		at = stage.Start
		line := fmt.Sprintf("krunbox: %s: at %.6f s, %.3f ms, ", stage.Stage, stage.Start, stage.Duration*1000)
		_, after, found := strings.Cut(rest, line)
		if !found {
			t.Errorf("console has no %q in this place:\n%s", line, rest)
			continue
		}
		outcome := "ok"
		if len(stage.Errors) > 0 {
			outcome = stage.OnError + ": " + strings.Join(stage.Errors, "; ")
		}
		if !strings.HasPrefix(after, outcome+"\n") {
			t.Errorf("stage %s: %.200q, want %q", stage.Stage, after, outcome)
		}
		if stage.Stage == "parameters" {
			warned = len(stage.Errors) == 1 && strings.Contains(stage.Errors[0], "KRUN_NEW") && stage.OnError == "warn"
		}
		rest = after
	}
	if !warned {
		t.Errorf("report = %s, want the warning about KRUN_NEW", data)
	}
	// What comes after the workload is on the console alone.
	if _, after, found := strings.Cut(rest, "running\n"); !found || !strings.Contains(after, "krunbox: flush: ") {
		t.Errorf("console = %q, want the workload's line and the stages after it", rest)
	}
}
