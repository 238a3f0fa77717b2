// Package specs checks that krunbox reads all fields of a configuration that is written with the
// types of the OCI runtime specification.
package specs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// krunbox is the path of the binary that make builds.
const krunbox = "../../build/krunbox"

// plan is the output of krunbox init -n -json.
type plan []stage

type stage struct {
	Stage string
	Error string
	Ops   []operation
}

type operation map[string]any

// planOf returns krunbox's plan for the boot of a guest with the configuration spec.
func planOf(t *testing.T, spec specs.Spec) plan {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), krunbox, "init", "-n", "-json", "-config", file, "--", "program")
	cmd.Env = []string{"PATH=/bin"}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("krunbox init -n: %v\n%s%s", err, stderr.String(), data)
	}
	var p plan
	if err := json.Unmarshal(output, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// find returns the operations with the given verb.
func (p plan) find(verb string) (found []operation) {
	for _, s := range p {
		for _, op := range s.Ops {
			if op["do"] == verb {
				found = append(found, op)
			}
		}
	}
	return found
}

// workload returns the operation that starts the workload.
func (p plan) workload(t *testing.T) operation {
	t.Helper()
	ops := p.find("fork and execute")
	if len(ops) != 1 {
		t.Fatalf("plan has %d operations that start a workload, want 1", len(ops))
	}
	return ops[0]
}

// want reports an error for each of details that the operation does not have. The order of lists
// does not matter.
func (op operation) want(t *testing.T, details map[string]any) {
	t.Helper()
	for name, want := range details {
		if got := sorted(op[name]); got != sorted(want) {
			t.Errorf("operation %q: %v = %s, want %s", op["do"], name, got, sorted(want))
		}
	}
}

// sorted returns the text of detail. If it is a list, its elements are sorted.
func sorted(detail any) string {
	var list []string
	switch v := detail.(type) {
	case []any:
		for _, s := range v {
			list = append(list, fmt.Sprint(s))
		}
	case []string:
		list = slices.Clone(v)
	default:
		return fmt.Sprint(v)
	}
	slices.Sort(list)
	return fmt.Sprintf("%q", list)
}

func TestProcess(t *testing.T) {
	caps := &specs.LinuxCapabilities{
		Bounding:    []string{"CAP_KILL", "CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"},
		Permitted:   []string{"CAP_KILL", "CAP_CHECKPOINT_RESTORE"},
		Effective:   []string{"CAP_CHECKPOINT_RESTORE"},
		Inheritable: []string{"CAP_KILL", "CAP_CHOWN"},
		Ambient:     []string{"CAP_KILL"},
	}
	process := &specs.Process{
		Terminal:        true,
		ConsoleSize:     &specs.Box{Height: 50, Width: 132},
		User:            specs.User{UID: 7, GID: 8, Umask: new(uint32(0o27)), AdditionalGids: []uint32{9, 10}},
		Args:            []string{"/bin/app", "a b"},
		Env:             []string{"A=1", "HOME=/h"},
		Cwd:             "/w",
		Capabilities:    caps,
		Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}},
		NoNewPrivileges: true,
		OOMScoreAdj:     new(-7),
		Scheduler:       &specs.Scheduler{Policy: specs.SchedRR, Priority: 3},
		IOPriority:      &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 7},
		ExecCPUAffinity: &specs.CPUAffinity{Initial: "0", Final: "0-1,3"},
	}
	p := planOf(t, specs.Spec{Version: specs.Version, Process: process})
	p.workload(t).want(t, map[string]any{
		"args": process.Args, "env": append(process.Env, "PATH=/bin"), "uid": "7", "gid": "8", "umask": "027", "groups": []string{"9", "10"},
		"rlimits": []string{"RLIMIT_NOFILE=5:6"}, "bounding": caps.Bounding, "permitted": caps.Permitted, "effective": caps.Effective,
		"inheritable": caps.Inheritable, "ambient": caps.Ambient, "noNewPrivileges": "true", "oomScoreAdj": "-7",
		"scheduler": "SCHED_RR priority=3", "ioPriority": "IOPRIO_CLASS_BE priority=7", "cpus": "0-1,3",
	})
	for verb, details := range map[string]map[string]any{
		"window size":      {"height": "50", "width": "132"},
		"change directory": {"on": "/w"},
	} {
		if ops := p.find(verb); len(ops) != 1 {
			t.Errorf("plan has %d operations %q, want 1", len(ops), verb)
		} else {
			ops[0].want(t, details)
		}
	}
	for _, s := range p {
		if s.Error != "" {
			t.Errorf("stage %s: error %q, want none", s.Stage, s.Error)
		}
	}
}

// TestWords checks that krunbox accepts each constant of the specification's types.
func TestWords(t *testing.T) {
	for _, policy := range []specs.LinuxSchedulerPolicy{
		specs.SchedOther, specs.SchedFIFO, specs.SchedRR, specs.SchedBatch, specs.SchedISO, specs.SchedIdle, specs.SchedDeadline,
	} {
		p := planOf(t, specs.Spec{Process: &specs.Process{Scheduler: &specs.Scheduler{Policy: policy}}})
		p.workload(t).want(t, map[string]any{"scheduler": string(policy)})
	}
	for _, flag := range []specs.LinuxSchedulerFlag{
		specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
		specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
	} {
		p := planOf(t, specs.Spec{Process: &specs.Process{Scheduler: &specs.Scheduler{
			Policy: specs.SchedDeadline, Nice: -1, Flags: []specs.LinuxSchedulerFlag{flag}, Runtime: 1, Deadline: 2, Period: 3,
		}}})
		p.workload(t).want(t, map[string]any{
			"scheduler": "SCHED_DEADLINE nice=-1 runtime=1ns deadline=2ns period=3ns " + string(flag),
		})
	}
	for _, class := range []specs.IOPriorityClass{specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE} {
		p := planOf(t, specs.Spec{Process: &specs.Process{IOPriority: &specs.LinuxIOPriority{Class: class, Priority: 1}}})
		p.workload(t).want(t, map[string]any{"ioPriority": string(class) + " priority=1"})
	}
}

func TestLinux(t *testing.T) {
	p := planOf(t, specs.Spec{
		Hostname: "box", Domainname: "nis",
		Linux: &specs.Linux{
			Sysctl: map[string]string{"net.core.somaxconn": "256", "kernel.msgmax": "1"},
			Devices: []specs.LinuxDevice{
				{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: new(fs.FileMode(0o660)), UID: new(uint32(1)), GID: new(uint32(0))},
				{Path: "/p", Type: "p"},
			},
			Seccomp:     &specs.LinuxSeccomp{DefaultAction: specs.ActAllow},
			Personality: &specs.LinuxPersonality{Domain: specs.PerLinux32},
		},
	})
	got := map[string]string{}
	for _, op := range p.find("sysctl") {
		got[fmt.Sprint(op["on"])] = fmt.Sprint(op["value"])
	}
	if got["net.core.somaxconn"] != "256" || got["kernel.msgmax"] != "1" {
		t.Errorf("sysctls = %v, want those of the configuration among them", got)
	}
	devices := p.find("make device")
	if len(devices) != 2 {
		t.Fatalf("devices = %v, want 2", devices)
	}
	devices[0].want(t, map[string]any{"on": "/dev/fuse", "type": "c", "number": "10:229", "mode": "0660", "uid": "1", "gid": "0"})
	devices[1].want(t, map[string]any{"on": "/p", "type": "p", "mode": nil, "uid": nil})
	for verb, want := range map[string]string{"set hostname": "box", "set domain name": "nis"} {
		if ops := p.find(verb); len(ops) != 1 || ops[0]["on"] != want {
			t.Errorf("operations %q = %v, want one on %s", verb, ops, want)
		}
	}
	i := slices.IndexFunc(p, func(s stage) bool { return s.Stage == "unsupported configuration" })
	if i < 0 || !strings.HasPrefix(p[i].Error, "linux.personality, linux.seccomp: ") {
		t.Errorf("plan = %+v, want an error for linux.personality, linux.seccomp", p)
	}
}

// TestEmptyFields has the empty objects and lists that Go programs write for fields that are not
// set.
func TestEmptyFields(t *testing.T) {
	p := planOf(t, specs.Spec{
		Process: &specs.Process{Args: []string{"a"}, Capabilities: &specs.LinuxCapabilities{}, ExecCPUAffinity: &specs.CPUAffinity{}},
		Root:    &specs.Root{}, Linux: &specs.Linux{Devices: []specs.LinuxDevice{}, Sysctl: map[string]string{}},
	})
	p.workload(t).want(t, map[string]any{
		"uid": "0", "gid": "0", "bounding": []string{}, "permitted": []string{}, "noNewPrivileges": nil, "oomScoreAdj": nil,
		"scheduler": nil, "ioPriority": nil, "cpus": nil, "umask": nil,
	})
	for _, s := range p {
		if s.Error != "" {
			t.Errorf("stage %s: error %q, want none", s.Stage, s.Error)
		}
	}
}
