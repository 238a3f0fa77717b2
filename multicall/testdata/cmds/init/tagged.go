//go:build harmless

package main

func init() { exitCode++ }
