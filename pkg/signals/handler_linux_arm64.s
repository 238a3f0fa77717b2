#include "textflag.h"

#define SYS_write	64
#define SYS_getpid	172
#define SYS_gettid	178
#define SYS_reboot	142

// handler is called by the kernel, on the signal stack, with the signal in R0, its siginfo_t at R1, the ucontext_t at R2, and
// the address of its rt_sigreturn in R30. What it changes in other registers rt_sigreturn undoes.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	SUB	$16, RSP
	MOVW	8(R1), R9	// si_code
	CMPW	$0, R9
	BLE	sent
	ORR	$0x80, R0	// fromKernel
sent:
	MOVB	R0, (RSP)
	MOVD	$SYS_getpid, R8
	SVC
	MOVD	R0, R9
	MOVD	$SYS_gettid, R8
	SVC
	CMPW	R0, R9
	BEQ	write
	MOVD	·ordered(SB), R9
	MOVD	40(R2), R10	// uc_sigmask: the thread's, once this is over
	ORR	R9, R10
	MOVD	R10, 40(R2)
write:
	MOVW	·writeEnd(SB), R0
	MOVD	RSP, R1
	MOVD	$1, R2
	MOVD	$SYS_write, R8
	SVC
	ADD	$16, RSP
	RET

// faultHandler leaves to Go what the kernel raised (si_code above 0, see sigaction(2)): only what somebody sent is for the
// pipe.
TEXT faultHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVW	8(R1), R9	// siginfo_t.si_code
	CMPW	$0, R9
	BLE	sent
	MOVD	·runtimeHandler(SB), R9
	JMP	(R9)
sent:
	JMP	handler<>(SB)

// restartHandler ends the machine when the kernel's timer says so (si_code above 0), and for nobody else.
TEXT restartHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVW	8(R1), R9
	CMPW	$0, R9
	BLE	sent
	MOVD	$0xfee1dead, R0	// LINUX_REBOOT_MAGIC1
	MOVD	$0x28121969, R1	// LINUX_REBOOT_MAGIC2
	MOVD	$0x01234567, R2	// LINUX_REBOOT_CMD_RESTART
	MOVD	$SYS_reboot, R8
	SVC
sent:
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD	$handler<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func faultHandlerAddress() uintptr
TEXT ·faultHandlerAddress(SB), NOSPLIT, $0-8
	MOVD	$faultHandler<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func restartHandlerAddress() uintptr
TEXT ·restartHandlerAddress(SB), NOSPLIT, $0-8
	MOVD	$restartHandler<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	MOVD	ZR, ret+0(FP)
	RET
