package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/krunbox/krunbox/integration/imagearchive"
	"github.com/krunbox/krunbox/integration/vm"
)

// bootImage makes cfg boot the image of option --image. What the guest writes is in memory: other
// guests may have the same root.
func (h *host) bootImage(ctx context.Context, cfg *vm.Config) error {
	image, err := imagearchive.Open(h.opts.image, cfg.Arch)
	if err != nil {
		return fmt.Errorf("--image: %w", err)
	}
	defer image.Close()
	if h.opts.config == "" {
		init, env := splitEnv(h.opts.env)
		config := image.Config
		if i := slices.IndexFunc(init, isProgram); i >= 0 {
			// In the configuration, its arguments may have any characters.
			_, program, _ := strings.Cut(init[i], "=")
			config.Entrypoint, config.Cmd = []string{program}, nil
			init = slices.DeleteFunc(init, isProgram)
		}
		cfg.GuestConfig, err = imageConfig(&config, h.opts.command, env)
		if err != nil {
			return fmt.Errorf("--image %s: %w", h.opts.image, err)
		}
		cfg.Env = init
	}
	cfg.Env = append([]string{"KRUN_ROOT_OVERLAY=tmpfs"}, cfg.Env...) // first, so that --env can override it
	cfg.ReadOnly = true
	if cfg.Root, err = image.Root(ctx); err != nil {
		return fmt.Errorf("--image %s: %w", h.opts.image, err)
	}
	return nil
}

// isProgram reports whether a variable for init names the program.
func isProgram(entry string) bool { return strings.HasPrefix(entry, "KRUN_INIT=") }

// imageConfig returns the configuration for init, in the format of an image's: that of the image,
// with command in place of its Cmd unless it is empty, and with env added. It fails if there is no
// program to run.
func imageConfig(c *v1.Config, command, env []string) ([]byte, error) {
	if len(command) == 0 {
		command = c.Cmd
	}
	if len(command) == 0 && len(c.Entrypoint) == 0 {
		return nil, errors.New("the image names no program: give one after --")
	}
	for _, entry := range c.Env {
		name, _, _ := strings.Cut(entry, "=")
		same := func(other string) bool { return strings.HasPrefix(other, name+"=") }
		if !slices.ContainsFunc(env, same) {
			env = append(slices.Clip(env), entry)
		}
	}
	b := appendStrings([]byte(`{"Env":`), withDefaults(env))
	if len(c.Entrypoint) > 0 {
		b = appendStrings(append(b, `,"Entrypoint":`...), c.Entrypoint)
	}
	if len(command) > 0 {
		b = appendStrings(append(b, `,"Cmd":`...), command)
	}
	for _, member := range []struct{ name, value string }{
		{"User", c.User}, {"WorkingDir", c.WorkingDir}, {"StopSignal", c.StopSignal},
	} {
		if member.value != "" {
			b = appendString(fmt.Appendf(b, `,"%s":`, member.name), member.value)
		}
	}
	return append(b, '}'), nil
}
