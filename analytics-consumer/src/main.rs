//! The binary of the analytics consumer.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    platform::start::<analytics_consumer::AnalyticsConsumer>()
}
