package guestinit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// EncodeConfig returns the configuration file, JSON in the spelling of the OCI runtime-spec, that guestconfig.Parse reads as c.
// Bytes of strings that are not UTF-8 stay as they are, which encoding/json would not read; in that it is not RFC 8259. The
// error for a value that no file can have names its field; Unsupported has to be empty.
func EncodeConfig(c guestconfig.Config) ([]byte, error) {
	data := []byte(document(&c))
	got, err := guestconfig.Parse(data)
	if err == nil {
		err = same("", c, got)
	}
	if err != nil {
		return nil, fmt.Errorf("guestinit: configuration: %w", err)
	}
	return data, nil
}

func document(c *guestconfig.Config) string {
	var user, imageUser string
	if c.User == nil {
		imageUser = optional(c.Username)
	} else {
		user = userOf(c.User, c.Username)
	}
	return object(
		member{"process", some(object(
			member{"terminal", truth(c.Terminal)},
			member{"consoleSize", some(object(
				member{"height", number(c.ConsoleSize.Height)},
				member{"width", number(c.ConsoleSize.Width)},
			))},
			member{"user", user},
			member{"args", list(c.Args, quoted)},
			member{"env", list(c.Env, quoted)},
			member{"cwd", optional(c.Cwd)},
			member{"capabilities", pointer(c.Capabilities, capabilities)},
			member{"rlimits", list(c.Rlimits, limit)},
			member{"noNewPrivileges", truth(c.NoNewPrivileges)},
			member{"oomScoreAdj", pointer(c.OOMScoreAdj, decimal)},
			member{"scheduler", pointer(c.Scheduler, scheduler)},
			member{"ioPriority", pointer(c.IOPriority, ioPriority)},
			member{"execCPUAffinity", some(object(member{"final", optional(c.CPUs.String())}))},
		))},
		member{"User", imageUser},
		member{"StopSignal", stopSignal(c.StopSignal)},
		member{"hostname", optional(c.Hostname)},
		member{"domainname", optional(c.Domainname)},
		member{"root", some(object(member{"readonly", truth(c.RootReadonly)}))},
		member{"mounts", list(c.Mounts, mount)},
		member{"linux", some(object(
			member{"namespaces", namespaces(c.MountNamespace)},
			member{"rootfsPropagation", optional(c.RootfsPropagation)},
			member{"maskedPaths", list(c.MaskedPaths, quoted)},
			member{"readonlyPaths", list(c.ReadonlyPaths, quoted)},
			member{"sysctl", some(object(sysctls(c.Sysctls)...))},
			member{"devices", list(c.Devices, device)},
		))},
	)
}

func userOf(u *guestconfig.User, name string) string {
	return object(
		member{"uid", number(u.UID)},
		member{"gid", number(u.GID)},
		member{"additionalGids", list(u.AdditionalGIDs, decimal)},
		member{"umask", pointer(u.Umask, decimal)},
		member{"username", optional(name)},
	)
}

func capabilities(c oci.Capabilities) string {
	return object(
		member{"bounding", list(c.Bounding.Names(), quoted)},
		member{"effective", list(c.Effective.Names(), quoted)},
		member{"inheritable", list(c.Inheritable.Names(), quoted)},
		member{"permitted", list(c.Permitted.Names(), quoted)},
		member{"ambient", list(c.Ambient.Names(), quoted)},
	)
}

func limit(l rlimit.Limit) string {
	return object(
		member{"type", quoted(rlimit.Name(l.Resource))},
		member{"soft", decimal(l.Soft)},
		member{"hard", decimal(l.Hard)},
	)
}

func scheduler(s oci.Scheduler) string {
	return object(
		member{"policy", quoted(s.Policy.String())},
		member{"nice", number(s.Nice)},
		member{"priority", number(s.Priority)},
		member{"flags", list(s.Flags.Names(), quoted)},
		member{"runtime", number(s.Runtime)},
		member{"deadline", number(s.Deadline)},
		member{"period", number(s.Period)},
	)
}

func ioPriority(p oci.IOPriority) string {
	return object(member{"class", quoted(p.Class.String())}, member{"priority", decimal(p.Priority)})
}

func stopSignal(n int) string {
	if n == 0 {
		return ""
	}
	return quoted(strconv.Itoa(n))
}

func mount(m guestconfig.Mount) string {
	return object(
		member{"destination", optional(m.Destination)},
		member{"type", optional(m.Type)},
		member{"source", optional(m.Source)},
		member{"options", list(m.Options, quoted)},
	)
}

func namespaces(mount bool) string {
	if !mount {
		return ""
	}
	return `[{"type":"mount"}]`
}

func sysctls(list []guestconfig.Sysctl) (members []member) {
	for _, s := range list {
		members = append(members, member{s.Name, quoted(s.Value)})
	}
	return members
}

func device(d guestconfig.Device) string {
	return object(
		member{"path", optional(d.Path)},
		member{"type", quoted(string(rune(d.Type)))},
		member{"major", number(d.Major)},
		member{"minor", number(d.Minor)},
		member{"fileMode", pointer(d.FileMode, decimal)},
		member{"uid", pointer(d.UID, decimal)},
		member{"gid", pointer(d.GID, decimal)},
	)
}

// member is a member of a JSON object. If value, JSON too, is empty, there is none.
type member struct{ name, value string }

func object(members ...member) string {
	members = slices.DeleteFunc(members, func(m member) bool { return m.value == "" })
	return bracketed("{", members, "}", func(m member) string { return quoted(m.name) + ":" + m.value })
}

// some returns no value for an object without members.
func some(object string) string {
	if object == "{}" {
		return ""
	}
	return object
}

// list returns no value for an empty list.
func list[T any](items []T, encode func(T) string) string {
	if len(items) == 0 {
		return ""
	}
	return bracketed("[", items, "]", encode)
}

func bracketed[T any](open string, items []T, closing string, encode func(T) string) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = encode(item)
	}
	return open + strings.Join(texts, ",") + closing
}

// pointer returns no value for nil.
func pointer[T any](p *T, encode func(T) string) string {
	if p == nil {
		return ""
	}
	return encode(*p)
}

func truth(b bool) string {
	if !b {
		return ""
	}
	return "true"
}

type integer interface {
	~int | ~int32 | ~uint16 | ~uint32 | ~uint64
}

func decimal[T integer](n T) string { return fmt.Sprint(n) }

// number returns no value for 0.
func number[T integer](n T) string {
	if n == 0 {
		return ""
	}
	return decimal(n)
}

// optional returns no value for an empty string.
func optional(s string) string {
	if s == "" {
		return ""
	}
	return quoted(s)
}

// quoted returns s as a JSON string, whatever its bytes.
func quoted(s string) string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}
