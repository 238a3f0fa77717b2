package guestconfig

import (
	"cmp"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// document is a configuration file in JSON.
type document struct {
	Args  []string `json:"args"`
	Env   []string `json:"env"`
	Cwd   string   `json:"cwd"`
	Image image    `json:",embed"`
	// The configuration of an image has the fields of image in a member, which "docker inspect"
	// spells in upper case.
	Config  image `json:"config"`
	Inspect image `json:"Config"`

	Process       process       `json:"process"`
	Hostname      string        `json:"hostname"`
	ImageHostname string        `json:"Hostname"`
	Domainname    string        `json:"domainname"`
	Mounts        []specs.Mount `json:"mounts"`
	Linux         linux         `json:"linux"`
	Root          struct {
		Readonly bool `json:"readonly"`
	} `json:"root"`
}

// image has the fields in the spelling of the OCI image-spec, and Cwd of libkrun.
type image struct {
	Cmd, Entrypoint, Env []string
	Cwd, WorkingDir      string
	User, StopSignal     string
}

// process is process of the OCI runtime-spec. Its fields take precedence over those of
// specs.Process with the same JSON name.
type process struct {
	specs.Process
	Image image `json:",embed"`

	User            *specs.User `json:"user"`
	ApparmorProfile unsupported `json:"apparmorProfile"`
	SelinuxLabel    unsupported `json:"selinuxLabel"`
}

// linux is the supported part of specs.Linux.
type linux struct {
	Sysctl            map[string]*string     `json:"sysctl"` // nil if null
	Devices           []specs.LinuxDevice    `json:"devices"`
	Namespaces        []specs.LinuxNamespace `json:"namespaces"`
	RootfsPropagation string                 `json:"rootfsPropagation"`
	MaskedPaths       []string               `json:"maskedPaths"`
	ReadonlyPaths     []string               `json:"readonlyPaths"`

	MemoryPolicy unsupported `json:"memoryPolicy"`
	Personality  unsupported `json:"personality"`
	Seccomp      unsupported `json:"seccomp"`
	TimeOffsets  unsupported `json:"timeOffsets"`
}

// config returns what the document asks for, choosing between fields with the same meaning.
func (doc *document) config(unsupported []string) Config {
	inner, outer := &doc.Process.Image, doc.image()
	process := doc.Process.Process
	command := firstList(process.Args, inner.Cmd, doc.Args, outer.Cmd)
	process.Args = slices.Concat(firstList(inner.Entrypoint, outer.Entrypoint), command)
	process.Env = firstList(process.Env, inner.Env, doc.Env, outer.Env)
	process.Env = slices.DeleteFunc(process.Env, func(entry string) bool {
		return strings.IndexByte(entry, '=') <= 0
	})
	process.Cwd = cmp.Or(process.Cwd, inner.Cwd, inner.WorkingDir,
		doc.Cwd, outer.Cwd, outer.WorkingDir)
	if !process.Terminal {
		process.ConsoleSize = nil
	}
	isMount := func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace }
	if slices.ContainsFunc(doc.Linux.Namespaces, isMount) {
		unsupported = slices.DeleteFunc(unsupported, enforcedByEngine)
	}
	c := Config{
		Process:      process,
		User:         cmp.Or(inner.User, outer.User),
		Hostname:     cmp.Or(doc.Hostname, doc.ImageHostname),
		Domainname:   doc.Domainname,
		Mounts:       doc.Mounts,
		RootReadonly: doc.Root.Readonly,
		Unsupported:  unsupported,
		Linux: specs.Linux{
			Sysctl:            map[string]string{},
			Devices:           doc.Linux.Devices,
			Namespaces:        doc.Linux.Namespaces,
			RootfsPropagation: doc.Linux.RootfsPropagation,
			MaskedPaths:       doc.Linux.MaskedPaths,
			ReadonlyPaths:     doc.Linux.ReadonlyPaths,
		},
	}
	for name, value := range doc.Linux.Sysctl {
		if value != nil {
			c.Linux.Sysctl[name] = *value
		}
	}
	if user := doc.Process.User; user != nil {
		c.HasUser, c.User, c.Process.User = true, "", *user
		name, _, _ := strings.Cut(user.Username, ":")
		if user.UID == 0 && name != "root" && name != "0" {
			c.User = user.Username
		}
		c.Process.User.Username = ""
	}
	c.limitCapabilities()
	signal := cmp.Or(inner.StopSignal, outer.StopSignal)
	if number, ok := oci.ParseSignal(signal); ok {
		c.StopSignal = number
	} else if signal != "" {
		c.reportValue("StopSignal", signal)
	}
	return c
}

// enforcedByEngine reports whether a container engine, which runs the virtual machine in a
// container, confines the machine by the field.
func enforcedByEngine(field string) bool {
	return field == "linux.seccomp" || field == "process.selinuxLabel" ||
		field == "process.apparmorProfile"
}

// image returns the fields in the spelling of images, from the first object that has them.
func (doc *document) image() *image {
	all := doc.Image
	for _, i := range []*image{&doc.Config, &doc.Inspect} {
		all.Cmd, all.Entrypoint = firstList(all.Cmd, i.Cmd), firstList(all.Entrypoint, i.Entrypoint)
		all.Env = firstList(all.Env, i.Env)
		all.Cwd, all.WorkingDir = cmp.Or(all.Cwd, i.Cwd), cmp.Or(all.WorkingDir, i.WorkingDir)
		all.User, all.StopSignal = cmp.Or(all.User, i.User), cmp.Or(all.StopSignal, i.StopSignal)
	}
	return &all
}

func firstList(lists ...[]string) []string {
	for _, list := range lists {
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// unsupported is a member that is reported if it asks for something.
type unsupported struct{}
