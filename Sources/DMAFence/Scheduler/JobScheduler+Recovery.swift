import Base
import KernelRuntime

// What a driver's timeout handler calls, in this order: stop, (reset the device), resubmit, start.
extension JobScheduler {
  /// Stops feeding the hardware and lets go of its fences (`drm_sched_stop`). Jobs that are done
  /// after all are freed; the others stay for ``resubmit()``. `bad` is the job that timed out.
  public func stop(_ bad: SchedulerJob?) async {
    await pauseWorks()
    if let bad, bad.scheduler === self, bad.state == .running,
      !pending.contains(where: { $0 === bad })
    {
      pending.insert(bad, at: 0)
    }
    var kept: [SchedulerJob] = []
    for job in pending {
      if let parent = job.parent, let callback = job.parentCallback,
        parent.removeCallback(callback)
      {
        job.parentCallback = nil
        job.parent = nil
        creditsInUse -= job.credits
        kept.append(job)
      } else {
        // Its callback ran, or runs: the job is over and is freed once.
        if let finished = job.finished { _ = await finished.wait() }
        release(job)
      }
    }
    pending = kept
    stopWatchdog()
  }

  /// Blames a job; its entity is guilty when it hung the device too often
  /// (`drm_sched_increase_karma`). Kernel jobs are never to blame.
  public func blame(_ bad: SchedulerJob, _ entity: SchedulerEntity?) {
    bad.karma += 1
    if bad.karma > hangLimit, let entity, entity.priority != .kernel { entity.isGuilty = true }
  }

  /// Hands the kept jobs to the hardware again (`drm_sched_resubmit_jobs`). Jobs blamed too often,
  /// and all later ones of their entity, are cancelled.
  public func resubmit() async {
    var guilty: UInt64?
    for job in pending {
      if guilty == nil && job.karma > hangLimit { guilty = job.scheduled?.context }
      if let guilty, job.scheduled?.context == guilty {
        if let finished = job.finished, finished.error == nil { finished.setError(.ECANCELED) }
        continue
      }
      do throws(KernelError) {
        job.parent = try await backend.run(job)
      } catch {
        if let finished = job.finished, finished.error == nil { finished.setError(error) }
      }
    }
  }

  /// Watches the jobs on the hardware again and goes on (`drm_sched_start`). A job without a
  /// hardware fence ends with `ECANCELED`.
  public func start() {
    for job in pending {
      creditsInUse += job.credits
      if job.parent == nil {
        done(job, .ECANCELED)
      } else {
        watch(job)
      }
    }
    startWatchdog()
    resumeWorks()
  }
}
