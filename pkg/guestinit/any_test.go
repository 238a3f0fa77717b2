package guestinit

import (
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"strings"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// equal is reflect.DeepEqual, but empty and nil lists and maps are equal. It is independent of
// same.
func equal(a, b any) bool {
	return reflect.DeepEqual(withoutEmpty(reflect.ValueOf(a)).Interface(),
		withoutEmpty(reflect.ValueOf(b)).Interface())
}

// withoutEmpty returns a copy of v in which empty lists and maps are nil.
func withoutEmpty(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch kind := v.Kind(); {
	case kind == reflect.Slice:
		for i := range v.Len() {
			out = reflect.Append(out, withoutEmpty(v.Index(i)))
		}
	case kind == reflect.Pointer && !v.IsNil():
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(withoutEmpty(v.Elem()))
	case kind == reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(withoutEmpty(v.Field(i)))
		}
	case kind != reflect.Map || v.Len() > 0:
		out.Set(v)
	}
	return out
}

// anyConfig is a random configuration that a file can have.
type anyConfig struct{ guestconfig.Config }

func (anyConfig) Generate(r *rand.Rand, _ int) reflect.Value {
	c := guestconfig.Config{
		Process:      anyProcess(r),
		StopSignal:   r.Intn(65),
		Hostname:     anyString(r),
		Domainname:   anyString(r),
		RootReadonly: anyBool(r),
		Linux:        anyLinux(r),
	}
	if c.HasUser = anyBool(r); c.HasUser {
		c.Process.User = anyUser(r)
	}
	if c.Process.User.UID == 0 {
		c.User = "u" + anyString(r)
	}
	for range r.Intn(4) {
		c.Mounts = append(c.Mounts, specs.Mount{
			Destination: anyString(r), Type: anyString(r), Source: anyString(r),
			Options: anyStrings(r),
		})
	}
	return reflect.ValueOf(anyConfig{c})
}

func anyProcess(r *rand.Rand) specs.Process {
	p := specs.Process{
		Args: anyStrings(r), Cwd: anyString(r), Capabilities: anyCapabilities(r),
		Rlimits: anyRlimits(r), NoNewPrivileges: anyBool(r), Terminal: anyBool(r),
	}
	for _, s := range anyStrings(r) {
		p.Env = append(p.Env, strings.ReplaceAll("N"+s, "=", "_")+"="+anyString(r))
	}
	if anyBool(r) {
		p.OOMScoreAdj = new(r.Intn(2001) - 1000)
	}
	if anyBool(r) {
		p.Scheduler = &specs.Scheduler{
			Policy: anyWord[specs.LinuxSchedulerPolicy](r, "SCHED_",
				"OTHER FIFO RR BATCH ISO IDLE DEADLINE"),
			Nice: int32(r.Uint32()), Priority: int32(r.Uint32()),
			Runtime: r.Uint64(), Deadline: r.Uint64(), Period: r.Uint64(),
		}
		for range r.Intn(4) {
			flag := anyWord[specs.LinuxSchedulerFlag](r, "SCHED_FLAG_", "RESET_ON_FORK RECLAIM "+
				"DL_OVERRUN KEEP_POLICY KEEP_PARAMS UTIL_CLAMP_MIN UTIL_CLAMP_MAX")
			p.Scheduler.Flags = append(p.Scheduler.Flags, flag)
		}
	}
	if anyBool(r) {
		p.IOPriority = &specs.LinuxIOPriority{
			Class:    anyWord[specs.IOPriorityClass](r, "IOPRIO_CLASS_", "RT BE IDLE"),
			Priority: r.Intn(8),
		}
	}
	if anyBool(r) {
		p.ExecCPUAffinity = &specs.CPUAffinity{
			Initial: []string{"", " 1, 2"}[r.Intn(2)],
			Final:   fmt.Sprintf("%d-1023,0", r.Intn(1024)),
		}
	}
	if p.Terminal && anyBool(r) {
		p.ConsoleSize = &specs.Box{Height: uint(r.Intn(1 << 16)), Width: uint(r.Intn(1 << 16))}
	}
	return p
}

// anyID returns a user or group ID, but not 1<<32 - 1, which setresuid(2) takes for "unchanged".
func anyID(r *rand.Rand) uint32 { return r.Uint32() &^ 1 }

func anyUser(r *rand.Rand) specs.User {
	u := specs.User{UID: anyID(r) * uint32(r.Intn(2)), GID: anyID(r)}
	for range r.Intn(3) {
		u.AdditionalGids = append(u.AdditionalGids, anyID(r))
	}
	if anyBool(r) {
		u.Umask = new(r.Uint32())
	}
	return u
}

func anyRlimits(r *rand.Rand) (limits []specs.POSIXRlimit) {
	for _, number := range r.Perm(16)[:r.Intn(17)] {
		soft := r.Uint64() >> r.Intn(64)
		limits = append(limits, specs.POSIXRlimit{
			Type: oci.ResourceName(number), Soft: soft,
			Hard: max(soft, r.Uint64()|uint64(r.Intn(2))*oci.Unlimited),
		})
	}
	return limits
}

func anyCapabilities(r *rand.Rand) *specs.LinuxCapabilities {
	if anyBool(r) {
		return nil
	}
	set := func() oci.CapabilitySet { return oci.CapabilitySet(r.Uint64() & (1<<41 - 1)) }
	granted, _ := oci.Capabilities{
		Bounding: set(), Effective: set(), Inheritable: set(), Permitted: set(), Ambient: set(),
	}.Grantable()
	return &specs.LinuxCapabilities{
		Bounding:    granted.Bounding.Names(),
		Effective:   granted.Effective.Names(),
		Inheritable: granted.Inheritable.Names(),
		Permitted:   granted.Permitted.Names(),
		Ambient:     granted.Ambient.Names(),
	}
}

func anyLinux(r *rand.Rand) specs.Linux {
	l := specs.Linux{
		Sysctl: map[string]string{}, MaskedPaths: anyStrings(r), ReadonlyPaths: anyStrings(r),
	}
	if anyBool(r) {
		l.RootfsPropagation = anyWord[string](r, []string{"", "r"}[r.Intn(2)],
			"shared slave private unbindable")
	}
	for range r.Intn(4) {
		l.Sysctl[anyString(r)] = anyString(r)
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{
			Type: specs.LinuxNamespaceType(anyString(r)), Path: anyString(r),
		})
		d := specs.LinuxDevice{
			Path: "/" + anyString(r), Type: string("cubp"[r.Intn(4)]),
			Major: r.Int63n(1 << 12), Minor: r.Int63n(1 << 20),
		}
		if anyBool(r) {
			d.FileMode, d.UID, d.GID = new(os.FileMode(r.Uint32())), new(anyID(r)), new(anyID(r))
		}
		l.Devices = append(l.Devices, d)
	}
	return l
}

// anyWord returns prefix and one of words.
func anyWord[T ~string](r *rand.Rand, prefix, words string) T {
	list := strings.Fields(words)
	return T(prefix + list[r.Intn(len(list))])
}

func anyBool(r *rand.Rand) bool { return r.Intn(2) == 0 }

// anyString returns a string of any bytes but NUL, among them many that need quotes or escapes.
func anyString(r *rand.Rand) string {
	const special = "\"\\\n\t\r\x01\x1f\x7f\xff\xc3\xa9\xa0 =,.-{}[]:\u2028<&u0"
	b := make([]byte, r.Intn(10))
	for i := range b {
		if b[i] = special[r.Intn(len(special))]; r.Intn(2) == 0 {
			b[i] = byte(1 + r.Intn(255))
		}
	}
	return string(b)
}

func anyStrings(r *rand.Rand) []string {
	list := make([]string, r.Intn(4))
	for i := range list {
		list[i] = anyString(r)
	}
	return list
}
