package cases

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/network"
)

// TestDebug enables KRUN_DEBUG, and checks that init prints a line for each stage of the boot, and
// writes the same data to a file that the workload can read.
func TestDebug(t *testing.T) {
	t.Parallel()
	// Init may write the stage of the workload to the file after the start of the workload.
	cfg := script(t, "amd64", `while ! grep -q '"stage": "workload"' /dev/.boot.json; do sleep 0.1; done; cat /dev/.boot.json >/report; /krunbox boot-chart >/chart || exit 4; echo running; exit 3`)
	cfg.Files = append(cfg.Files, hostfs.File{Path: "/krunbox", Source: cfg.Init, Mode: 0o755})
	cfg.Env = []string{"KRUN_DEBUG=1", "KRUN_NEW=1"}
	text := console(run(t, cfg, 3))

	var report []struct {
		Stage                   string
		Start, Duration, Waited float64 // seconds
		Ops                     int
		OnError, OnlyIf         string
		Errors                  []string
	}
	data, err := os.ReadFile(filepath.Join(cfg.Root, "report"))
	if err == nil {
		err = json.Unmarshal(data, &report)
	}
	if err != nil {
		t.Fatalf("report: %v: %s", err, data)
	}
	chart, err := os.ReadFile(filepath.Join(cfg.Root, "chart"))
	for _, want := range []string{"  parameters  ", "warn: KRUN_NEW", "  workload  ", "network: left out, only if KRUN_DHCP"} {
		if !strings.Contains(string(chart), want) {
			t.Errorf("chart = %s, %v, want %q in it", chart, err, want)
		}
	}
	rest, at, warned, left := text, 0.0, false, false
	for _, stage := range report {
		// Stages start in the order of the report.
		if stage.Start < at || stage.Duration < 0 {
			t.Errorf("stage %s starts at %f s and takes %f s, want it not to start before %f s",
				stage.Stage, stage.Start, stage.Duration, at)
		}
		at = stage.Start
		line := fmt.Sprintf("krunbox: %s: at %.6f s, %.3f ms, ", stage.Stage, stage.Start, stage.Duration*1000)
		if stage.Waited > 0 {
			line += fmt.Sprintf("%.3f ms of it waiting, ", stage.Waited*1000)
		}
		if stage.OnlyIf != "" {
			line = fmt.Sprintf("krunbox: %s: left out, only if %s\n", stage.Stage, stage.OnlyIf)
		}
		_, after, found := strings.Cut(rest, line)
		if !found {
			t.Errorf("console lacks %q in:\n%s", line, rest)
			continue
		}
		if rest = after; stage.OnlyIf != "" {
			left = left || stage.Stage == "network" && stage.OnlyIf == "KRUN_DHCP names interfaces"
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
	}
	if !left {
		t.Errorf("report = %s, want the stage network, which was left out", data)
	}
	if !warned {
		t.Errorf("report = %s, want the warning about KRUN_NEW", data)
	}
	// The stages after the workload are on the console only.
	if _, after, found := strings.Cut(rest, "running\n"); !found || !strings.Contains(after, "krunbox: flush: ") {
		t.Errorf("console = %q, want the output of the workload and the stages after it", rest)
	}
}

// TestDebugWaits boots guests that wait for a lease and for a device in vain. The report has the time
// of the wait.
func TestDebugWaits(t *testing.T) {
	for _, tt := range []struct {
		stage, outcome string
		env            []string
		code           int
	}{
		{"lease", "warn: eth0: ", []string{"KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=2000"}, 0},
		{"root", "fatal: find the root device /dev/vdz: ", []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vdz", "KRUN_BLOCK_ROOT_TIMEOUT_MS=500"}, 125},
	} {
		t.Run(tt.stage, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", "exit 0")
			cfg.Env = append(tt.env, "KRUN_DEBUG=1")
			segment(t, network.SegmentOptions{}).AddTo(&cfg) // without a server
			line := regexp.MustCompile(`(?m)^krunbox: ` + tt.stage + `: at [\d.]+ s, ([\d.]+) ms, ([\d.]+) ms of it waiting, ` + tt.outcome)
			text := console(run(t, cfg, tt.code))
			match := line.FindStringSubmatch(text)
			if match == nil {
				t.Fatalf("console lacks %v:\n%s", line, text)
			}
			duration, err1 := strconv.ParseFloat(match[1], 64)
			waited, err2 := strconv.ParseFloat(match[2], 64)
			if err1 != nil || err2 != nil || waited < 100 || waited > duration {
				t.Errorf("%s: want a time of waiting from 100 ms to the stage's", match[0])
			}
		})
	}
}
